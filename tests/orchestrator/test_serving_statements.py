"""Statements that come in over HTTP: who may say what, once, durably, also while others write the same log."""

import concurrent.futures
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ledger import dsse, history, keys, membership, statements
from tests import runs, servers


@pytest.fixture
def run(tmp_path: Path) -> runs.Run:
    return runs.Run(tmp_path / "run")


@pytest.fixture
def asked(run: runs.Run) -> Iterator[httpx.Client]:
    with runs.serving(run.where.root) as where, runs.client(where) as opened:
        runs.wait(opened)
        yield opened


def post(asked: httpx.Client, envelope: dsse.Envelope) -> httpx.Response:
    return asked.post("/statements", content=envelope.to_bytes())


def code(asked: httpx.Client, envelope: dsse.Envelope) -> tuple[int, str]:
    found = post(asked, envelope)
    return found.status_code, found.json()["code"]


def test_what_is_acknowledged_is_on_the_log(run: runs.Run, asked: httpx.Client) -> None:
    """The answer names the position, at which the very envelope stands."""
    envelope = run.offer("alice", b"sealed")
    said = post(asked, envelope)
    assert (said.status_code, said.json()) == (200, {"seq": 8, "eid": envelope.eid})
    assert run.entries()[8].envelope == envelope


def test_the_same_again_has_its_place(run: runs.Run, asked: httpx.Client) -> None:
    """A retry is no second statement and no conflict, whatever came in between, and also where it would be refused now."""
    key = keys.SigningKey.generate()
    runs.expect(run.where.root, dave=key.public.fingerprint)
    said = [
        run.offer("alice", b"sealed"),
        run.rotate("carol"),
        dsse.sign(statements.build(run.enrol("dave", key)), key),
        run.said(statements.RoundDecline(author="bob", run=run.run, round=1, reason="busy"), "bob"),
    ]
    places = [post(asked, each).json()["seq"] for each in said]
    runs.expect(run.where.root)
    assert places == [8, 9, 10, 11]
    assert [post(asked, each).json()["seq"] for each in said] == places
    assert len(run.entries()) == 12


def test_the_same_at_once(run: runs.Run, asked: httpx.Client) -> None:
    """Twenty who send the same at the same time all hear of one place."""
    envelope = run.rotate("carol")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: post(asked, envelope), range(20)))
    assert {(each.status_code, each.json()["seq"]) for each in found} == {(200, 8)}


def test_a_bad_one_costs_nobody_else(run: runs.Run, asked: httpx.Client) -> None:
    """Of forty that come together, every other one wrong, the right ones are appended and the wrong ones refused."""
    names = [f"m{number:02d}" for number in range(20)]
    made = {name: keys.SigningKey.generate() for name in names}
    runs.expect(run.where.root, **{name: key.public.fingerprint for name, key in made.items()})
    good = [dsse.sign(statements.build(run.enrol(name, key)), key) for name, key in made.items()]
    bad = [dsse.sign(statements.build(run.enrol(name, key)), run.key) for name, key in made.items()]
    mixed = [each for pair in zip(good, bad, strict=True) for each in pair]
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        found = list(pool.map(lambda each: post(asked, each), mixed))
    # A bad one has the same eid as its good one, which may be on the log already.
    assert all(each.status_code == 200 for each in found[::2])
    assert {each.status_code for each in found[1::2]} <= {200, 401}
    assert sorted(each.json()["seq"] for each in found[::2]) == list(range(8, 28))
    assert history.replay(run.entries()).members.keys() >= set(names)


def test_one_member_does_not_fill_the_log(run: runs.Run) -> None:
    """Beyond some at once a member waits for its turn; others do not, and what it said already has its place (attack 35)."""
    with runs.serving(run.where.root, said=5, said_rate=0.5) as where, runs.client(where) as asked:
        runs.wait(asked)
        said = [run.rotate("carol") for _ in range(6)]
        found = [post(asked, each) for each in said]
        assert [each.status_code for each in found] == [200] * 5 + [429]
        assert found[-1].json()["code"] == "rate"
        assert found[-1].headers["retry-after"] == "1"
        assert post(asked, said[0]).json()["seq"] == 8
        assert post(asked, run.offer("alice", b"sealed")).json()["seq"] == 13
        time.sleep(2.5)
        assert post(asked, said[-1]).json()["seq"] == 14
        assert post(asked, run.rotate("carol")).status_code == 429


def test_what_others_sign_in_a_name_does_not_use_it_up(run: runs.Run) -> None:
    """Refused statements, and the same one over and over, leave their author its turn (attacks 16, 35)."""
    with runs.serving(run.where.root, said=2, said_rate=0.001) as where, runs.client(where) as asked:
        runs.wait(asked)
        forged = dsse.sign(run.offer("alice", b"sealed").payload, run.keys["bob"])
        assert {code(asked, forged) for _ in range(10)} == {(401, "bad-signature")}
        envelope = run.rotate("alice")
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            found = list(pool.map(lambda _: post(asked, envelope), range(20)))
        assert {(each.status_code, each.json()["seq"]) for each in found} == {(200, 8)}
        assert post(asked, run.offer("alice", b"sealed")).status_code == 200
        assert post(asked, run.rotate("alice")).status_code == 429


def test_who_may_not_speak_here(run: runs.Run, asked: httpx.Client) -> None:
    """The coordinator, an unexpected member, one who speaks for another: 403, whatever the rules say (attacks 16, 23)."""
    stranger, other = keys.SigningKey.generate(), keys.SigningKey.generate()
    runs.expect(run.where.root, dave=other.public.fingerprint)
    revoke = {"run": run.run, "reason": "lost"}
    for envelope in (
        run.signed(run.opening(2)),
        run.signed(membership.rotation(run.run, "coordinator", run.key.public, stranger)),
        run.signed(statements.MemberRevoke(author="coordinator", member="alice", **revoke)),
        run.signed(statements.RoundSeal(author="coordinator", run=run.run, round=1, offers=())),
        run.signed(statements.MemberRole(author="coordinator", run=run.run, member="bob", role="aggregator")),
        dsse.sign(statements.build(run.enrol("mallory", stranger)), stranger),
        dsse.sign(statements.build(run.enrol("dave", stranger)), stranger),
        run.said(statements.MemberRevoke(author="alice", member="bob", **revoke), "alice"),
        run.said(statements.RoundSeal(author="alice", run=run.run, round=1, offers=()), "alice"),
    ):
        assert code(asked, envelope) == (403, "not-entitled")
    assert len(run.entries()) == 8
    leave = run.said(statements.MemberRevoke(author="alice", member="alice", **revoke), "alice")
    assert post(asked, leave).json()["seq"] == 8


def test_what_the_rules_refuse(run: runs.Run, asked: httpx.Client) -> None:
    """The reason of the log's rules is the answer's code (attacks 14, 15, 16, 17, 18, 19)."""
    post(asked, run.offer("alice", b"one"))
    stolen = dsse.sign(run.offer("bob", b"one").payload, run.keys["alice"])
    noted = dsse.Envelope(payload=run.offer("bob", b"x").payload.replace(b"{", b"{ ", 1), signatures=stolen.signatures)
    assert code(asked, run.offer("alice", b"two")) == (409, "equivocation")
    assert code(asked, run.offer("carol", b"one")) == (409, "not-in-cohort")
    assert code(asked, run.offer("bob", b"one", round=2)) == (409, "wrong-round")
    assert code(asked, run.offer("bob", b"one", run="0" * 64)) == (409, "wrong-run")
    assert code(asked, run.offer("bob", b"one", context="0" * 64)) == (409, "wrong-context")
    assert code(asked, dsse.sign(run.offer("bob", b"one").payload, run.keys["alice"])) == (401, "bad-signature")
    assert code(asked, noted) == (400, "non-canonical")
    ghost = statements.MemberRotate(author="ghost", run=run.run, key=str(run.key.public), possession="A" * 86 + "==")
    assert code(asked, run.said(ghost, "bob")) == (409, "unknown-member")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 60_000, b'{"payload":"","payload":""}'])
def test_a_body_that_is_no_envelope(run: runs.Run, asked: httpx.Client, body: bytes) -> None:
    """400, and the log is as before."""
    assert asked.post("/statements", content=body).status_code == 400
    assert len(run.entries()) == 8


def test_no_file_of_expected_members(run: runs.Run, asked: httpx.Client) -> None:
    """Nobody is expected where there is none; one that cannot be read is nobody's fault who asks."""
    key = keys.SigningKey.generate()
    envelope = dsse.sign(statements.build(run.enrol("dave", key)), key)
    assert code(asked, envelope) == (403, "not-entitled")
    (run.where.root / "expected.json").write_text("[]")
    assert code(asked, envelope) == (503, "busy")
    (run.where.root / "expected.json").write_text("{")
    assert code(asked, envelope) == (503, "busy")
    runs.expect(run.where.root, dave=key.public.fingerprint)
    assert post(asked, envelope).status_code == 200


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_two_processes_append_at_once(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    """What the service acknowledges and what a coordinator writes meanwhile are all there, each once, in one chain."""
    url = None
    if kind == "postgres":
        server: servers.Postgres = request.getfixturevalue("server")
        url, _ = server.url()
    run = runs.Run(tmp_path / "run", url=url)
    with runs.serving(run.where.root) as where, runs.client(where) as asked:
        runs.wait(asked)
        other = subprocess.Popen([sys.executable, "-c", WRITER, str(run.where.root)], stdin=subprocess.PIPE, text=True)
        own = [run.rotate("carol") for _ in range(40)]
        theirs = [run.rotate("bob") for _ in range(40)]
        lines = "".join(each.to_bytes().decode() + "\n" for each in theirs)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            writing = pool.submit(other.communicate, lines, timeout=60)
            places = [post(asked, each).json()["seq"] for each in own]
            writing.result()
        assert other.returncode == 0
    entries = run.entries()
    assert [entries[seq].envelope for seq in places] == own
    assert [entry.envelope for entry in entries if entry.envelope in theirs] == theirs
    assert len(entries) == 88
    history.replay(entries)


WRITER = """
import sys
from pathlib import Path
from ledger import dsse
from orchestrator import folder, record
where = folder.RunFolder(root=Path(sys.argv[1]))
with record.Record(where.ledger) as held:
    for line in sys.stdin:
        held.append(dsse.Envelope.parse(line.strip().encode()))
"""

KILLED = [
    sys.executable,
    "-m",
    "orchestrator",
    "serve",
    "--port",
    "0",
    "--json",
    "--rate",
    "100000",
    "--burst",
    "100000",
]


def test_a_killed_service_has_kept_its_word(run: runs.Run) -> None:
    """SIGKILL while statements come in: every acknowledged one is on the log, and one started again goes on (attack 37)."""
    acknowledged: list[tuple[int, str]] = []
    running = subprocess.Popen(
        [*KILLED, str(run.where.root)], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
    )
    try:
        with runs.client(("", int(running.stdout.readline().split(":")[3].split('"')[0]))) as asked:
            runs.wait(asked)
            said = [run.rotate(name) for _ in range(60) for name in ("alice", "bob", "carol")]
            threading.Timer(0.4, lambda: os.kill(running.pid, signal.SIGKILL)).start()
            try:
                for each in said:
                    found = post(asked, each).json()
                    acknowledged.append((found["seq"], found["eid"]))
            except httpx.HTTPError:
                pass
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
    assert acknowledged
    entries = run.entries()
    assert [(entries[seq].seq, entries[seq].eid) for seq, _ in acknowledged] == acknowledged
    with runs.serving(run.where.root) as where, runs.client(where) as again:
        runs.wait(again)
        for each in said:
            assert post(again, each).status_code == 200
    assert [entry.envelope for entry in run.entries()[8:]] == said
