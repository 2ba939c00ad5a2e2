"""One published log of real entries, as evidence for verifiers that are not ours, and copies of it that were spoiled."""

import dataclasses
import functools
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import federation, peers
from ledger import keys, log, note, proof, publication
from tests.ledger.interop import mutations

ORIGIN = "folkmoot.test/log"
HOLDERS = 40
SIZES = (700, 5_000, 10_300)
HERE = Path(__file__).parent
KEY = federation.key(federation.COORDINATOR)

SCRIPTS = {"S": "with_sigstore", "D": "with_securesystemslib", "P": "with_pymerkle", "O": "with_openssl"}


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The folder that a verifier is given; `public` and `origin` are what it trusts."""

    folder: Path
    origin: str
    public: keys.PublicKey


@pytest.fixture(scope="session")
def evidence(tmp_path_factory):
    """A log of 10,300 entries, published three times as it grew, with a proof file for every hundredth entry."""
    folder = tmp_path_factory.mktemp("interop") / "evidence"
    (folder / "proofs").mkdir(parents=True)
    statements = federation.envelopes(HOLDERS)
    with log.Log.open(folder.with_name("log.db"), origin=ORIGIN) as record:
        for size in SIZES:
            while record.size < size:
                record.append(list(itertools.islice(statements, min(500, size - record.size))), head=record.head)
            signed = record.publish(KEY)
            publication.publish(record, folder / "log")
        for index in range(0, SIZES[-1], 100):
            made = proof.Proof(index=index, path=tuple(record.inclusion(index, SIZES[-1])), note=signed)
            (folder / "proofs" / f"{index}.tlog-proof").write_bytes(made.to_bytes())
        (folder / "earlier").write_bytes(record.note(SIZES[0]))
    (folder / "vkey").write_text(note.vkey(note.Verifier(name=ORIGIN, key=KEY.public)) + "\n")
    return Evidence(folder, ORIGIN, KEY.public)


@pytest.fixture(scope="session")
def spoiled(evidence, tmp_path_factory):
    """Mutation -> the folder of the evidence with that mutation."""
    folder = tmp_path_factory.mktemp("spoiled")
    for name, (mutate, _) in mutations.MUTATIONS.items():
        mutate(mutations.copied(evidence.folder, folder / name, KEY))
    return {name: folder / name for name in mutations.MUTATIONS}


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A function (letter, folders): what that verifier says of each folder, with its exit status."""

    @functools.cache
    def command(letter):
        return _go(tmp_path_factory.mktemp("go")) if letter == "G" else _python(letter)

    def ran(letter, folders):
        called = subprocess.run([*command(letter), *folders], capture_output=True, text=True, check=False)
        said = [json.loads(line) for line in called.stdout.splitlines()]
        assert len(said) == len(folders), called.stderr
        return said, called.returncode

    return ran


@pytest.fixture(scope="session")
def refusals(run, spoiled):
    """A function of a letter: mutation -> what that verifier says, over all mutations that it must notice."""

    @functools.cache
    def said(letter):
        names = [name for name, (_, seen) in mutations.MUTATIONS.items() if letter in seen]
        said, status = run(letter, [spoiled[name] for name in names])
        assert status == 1
        return dict(zip(names, said, strict=True))

    return said


def _lacking(what, how):
    if os.environ.get("FOLKMOOT_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{what} is missing, and FOLKMOOT_REQUIRE_SERVERS=1 wants it: {how}")
    pytest.skip(f"{what} is missing: {how}")


def _go(folder):
    source = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb")
    if shutil.which("go") is None or not source.is_dir():
        _lacking("Go", "apt-get install golang-go golang-golang-x-mod-dev")
    where = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}
    cache = {} if os.environ.get("HOME") else {"GOCACHE": str(folder / "cache")}
    build = ["go", "build", "-o", folder / "verify", HERE / "verify.go"]
    subprocess.run(build, env=os.environ | where | cache, check=True, timeout=240)
    return (folder / "verify",)


def _python(letter):
    script = HERE / f"{SCRIPTS[letter]}.py"
    if letter == "O":
        if shutil.which("openssl") is None:
            _lacking("openssl", "apt-get install openssl")
        return (sys.executable, script)
    python = peers.FOLDER / "verifiers" / "bin" / "python"
    if not python.exists():
        _lacking("the environment of verifiers", "make peers")
    return (python, script)
