"""A witness and a verifier that other people wrote: aics-witness 0.1.0 and aics-tlog 0.2.1, in processes of their own."""

import os
import re
import socket
import subprocess
import time

import httpx
import pytest

from benchmarks import peers
from ledger import cosignature, dsse, keys, log, memory, note, policy, vkey, witness
from orchestrator import witnessing

ORIGIN = "folkmoot.test/log"
KEY = keys.SigningKey.generate()
LOG = note.Verifier(name=ORIGIN, key=KEY.public)


def aics(tool, *arguments):
    """The command of a tool."""
    python = peers.FOLDER / "verifiers" / "bin" / "python"
    if not python.exists():
        if os.environ.get("FOLKMOOT_REQUIRE_SERVERS") == "1":
            pytest.fail("the environment of verifiers is missing, and FOLKMOOT_REQUIRE_SERVERS=1 wants it: make peers")
        pytest.skip("the environment of verifiers is missing: make peers")
    return [str(python), "-m", f"aics_{tool}", *map(str, arguments)]


def said(tool, *arguments, status=0):
    ran = subprocess.run(aics(tool, *arguments), capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """Their witness of our log, listening on loopback: what a policy says of it."""
    folder = tmp_path_factory.mktemp("aics")
    config = ("--config", folder / "witness.json")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    text = said("witness", "init", *config, "--name", "witness.test/aics", "--listen", address)
    said("witness", "add-log", *config, "--origin", ORIGIN, "--vkey", note.vkey(LOG))
    verifier = vkey.parse(re.search(r"^witness\.test/aics\S+$", text, re.MULTILINE).group())
    process = subprocess.Popen(aics("witness", "serve", *config), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                httpx.get(f"http://{address}/healthz", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield policy.Witness(verifier=verifier, url=f"http://{address}")
    finally:
        process.terminate()
        process.wait(timeout=20)


def extend(record, count):
    start = record.size
    record.append([dsse.sign(b'{"n":%d}' % n, KEY) for n in range(start, start + count)], head=record.head)
    return record.publish(KEY)


def test_their_witness_cosigns_our_log_and_no_other(foreign, tmp_path):
    """Three checkpoints as the log grows; then a rewritten one, a split view and an older one get none (attacks 43, 44)."""
    chosen = policy.Policy(logs=(LOG,), witnesses={"aics": foreign}, groups={}, quorum="aics")
    with log.Log.open(tmp_path / "log.db", origin=ORIGIN) as record:
        for count in (5, 3, 32):
            assert witnessing.endorse(record, extend(record, count), chosen, seconds=30) == ""
        assert chosen.accept(record.last_note(), ORIGIN).witnesses.keys() == {"aics"}
        theirs = httpx.get(f"{foreign.url}/{memory.digest(ORIGIN)}/checkpoint", trust_env=False).content
        assert note.open(theirs, [LOG, foreign.verifier]).times.keys() == {LOG, foreign.verifier}
        older = record.note(8)
        stale = witness.Request(old=0, proof=(), note=older).to_bytes()
        answer = httpx.post(f"{foreign.url}/add-checkpoint", content=stale, trust_env=False)
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (
            409,
            "text/x.tlog.size",
            b"40\n",
        )
        (tmp_path / "note").write_bytes(record.last_note())
    check = ("verify-checkpoint", "--note", tmp_path / "note", "--origin", ORIGIN, "--log-key", note.vkey(LOG))
    quorum = ("--witness-key", note.vkey(foreign.verifier), "--quorum", "1")
    assert "40" in said("tlog", *check, *quorum)
    (tmp_path / "note").write_bytes((tmp_path / "note").read_bytes().replace(b"\n40\n", b"\n41\n"))
    said("tlog", *check, *quorum, status=1)
    with log.Log.open(tmp_path / "other.db", origin=ORIGIN, published=tmp_path / "other") as other:
        extend(other, 1)
        other.append([dsse.sign(b'{"n":%d}' % n, KEY) for n in range(2, 41)], head=other.head)
        assert "aics: 422" in witnessing.endorse(other, other.publish(KEY), chosen, seconds=30)
        assert "aics: 422" in witnessing.endorse(other, extend(other, 9), chosen, seconds=30)


def test_their_verifier_takes_our_cosignature(tmp_path):
    """A note that our witness cosigned meets their quorum, and one without its line does not."""
    signer = cosignature.Signer(name="witness.test/ours", key=keys.SigningKey.generate())
    ours = witness.Witness(memory.Memory(tmp_path / "memory"), [signer], {ORIGIN: [LOG]})
    with log.Log.open(tmp_path / "log.db", origin=ORIGIN) as record:
        signed = extend(record, 7)
    answer = ours.add_checkpoint(witness.Request(old=0, proof=(), note=signed).to_bytes(), int(time.time()))
    check = ["verify-checkpoint", "--note", tmp_path / "note", "--origin", ORIGIN, "--log-key", note.vkey(LOG)]
    check += ["--witness-key", note.vkey(signer.verifier), "--quorum", "1", "--max-age", "600"]
    for data, status in ((signed + answer.body, 0), (signed, 1)):
        (tmp_path / "note").write_bytes(data)
        said("tlog", *check, status=status)
