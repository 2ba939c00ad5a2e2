"""What an audit remembers, what it then refuses, and what a policy asks of it; and the coordinator that is witnessed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ledger import checkpoint, cosignature, evidence, keys, log, memory, note, policy, vkey
from orchestrator import cli, folder, journal
from tests import federation, witnesses

ROOT = Path(__file__).parents[2]


def audit(*arguments: object) -> Result:
    return CliRunner().invoke(cli.cli, ["audit", *map(str, arguments)], prog_name="folkmoot")


def verifier(root: Path) -> note.Verifier:
    public = folder.RunFolder(root=root).coordinator_key().public
    return note.Verifier(name=journal.origin(public.fingerprint), key=public)


def rewritten(root: Path, size: int, name: str) -> Path:
    """The run folder as its operator would have it: the log cut to `size` entries, chained and signed anew."""
    other = root.with_name(name)
    shutil.copytree(root, other, ignore=shutil.ignore_patterns("ledger.sqlite*", "checkpoint"))
    key = folder.RunFolder(root=root).coordinator_key()
    with journal.published(root / "ledger.sqlite") as record:
        envelopes = [entry.envelope for entry in record.entries(0, size)]
    with log.Log.open(other / "ledger.sqlite", origin=verifier(root).name) as record:
        record.append(envelopes, head=record.head)
        record.publish(key)
    return other


def sizes(root: Path) -> list[int]:
    with journal.published(root / "ledger.sqlite") as record:
        return [size for size, _ in record.notes()]


@pytest.fixture
def grown(finished: Path) -> tuple[Path, Path]:
    """A run after one round, and after two; one log."""
    return rewritten(finished, sizes(finished)[1], "before"), finished


def test_an_audit_remembers(grown: tuple[Path, Path]) -> None:
    """First seen, then what it extends and since when; in the state folder, and nowhere if told so."""
    before, after = grown
    state = memory.place()
    for arguments, phrase in (
        ((before, "--no-memory"), ""),
        ((before,), "first seen"),
        ((before,), f"is the {sizes(before)[-1]} entries accepted on "),
        ((after,), f"extends the {sizes(before)[-1]} entries accepted on "),
        ((after, "--memory", after / "elsewhere"), "first seen"),
    ):
        result = audit(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["before"].startswith(phrase)
        assert phrase or not state.exists()
    assert re.search(r"memory +is the \d+ entries accepted on \d{4}-\d\d-\d\d\n", audit(after).stdout)
    assert audit(after, "--memory", "x", "--no-memory").exit_code == 2


def test_a_rollback_is_refused(grown: tuple[Path, Path]) -> None:
    """Exit 1, and the folder with both notes is named (attack 43)."""
    before, after = grown
    assert audit(after).exit_code == 0
    result = audit(before)
    assert result.exit_code == 1
    assert f"shows {sizes(before)[-1]} entries, after {sizes(after)[-1]} that were accepted before" in result.stderr
    kept = Path(re.search(r"kept in (\S+)\n", result.stderr)[1])
    evidence.Evidence.read(kept).judge(verifier(after))


def test_a_rewritten_run_is_refused_by_who_remembers(finished: Path, tmp_path: Path) -> None:
    """The operator changes, chains and signs all anew: a newcomer finds no fault, who audited before does (attack 43)."""
    other = finished.with_name("other")
    shutil.copytree(finished, other, ignore=shutil.ignore_patterns("ledger.sqlite*", "checkpoint"))
    with journal.published(finished / "ledger.sqlite") as record:
        envelopes = [entry.envelope for entry in record.entries()]
        founding = record.notes()[0][0]
    key = folder.RunFolder(root=finished).coordinator_key()
    # The second holder's offer is on the log before the first's: as good a history as the other, but another.
    offers = [seq for seq, each in enumerate(envelopes) if seq >= founding and b"update.offer" in each.payload]
    first, second = offers[:2]
    envelopes[first], envelopes[second] = envelopes[second], envelopes[first]
    with log.Log.open(other / "ledger.sqlite", origin=verifier(finished).name) as record:
        record.append(envelopes, head=record.head)
        record.publish(key)
    assert audit(finished).exit_code == 0
    assert audit(other, "--memory", tmp_path / "newcomer").exit_code == 0
    result = audit(other)
    assert result.exit_code == 1
    found = evidence.Evidence.read(Path(re.search(r"kept in (\S+)\n", result.stderr)[1])).judge(verifier(finished))
    assert found.convicts


@pytest.fixture
def witnessed(tmp_path: Path) -> Iterator[tuple[Path, witnesses.Served, Path]]:
    """A run folder with its key, a witness of its log, and the policy that asks for it."""
    root = tmp_path / "run"
    folder.RunFolder(root=root).coordinator_key()
    served = witnesses.Served(tmp_path / "witness", "w", verifier(root))
    text = (
        f"log {note.vkey(verifier(root))}\nwitness w {note.vkey(served.signer.verifier)} {served.entry.url}\nquorum w\n"
    )
    (tmp_path / "policy").write_text(text)
    yield root, served, tmp_path / "policy"
    served.stop()


def test_a_run_is_witnessed_round_by_round(
    witnessed: tuple[Path, witnesses.Served, Path], execute, caplog: pytest.LogCaptureFixture
) -> None:
    """Every published checkpoint has the witness' line, and an audit can ask for it; another quorum is refused."""
    root, _, path = witnessed
    execute(root, f"ledger.witnesses={path}")
    with journal.published(root / "ledger.sqlite") as record:
        notes = [signed for _, signed in record.notes()]
    chosen = policy.Policy.parse(path.read_bytes())
    assert len(notes) == 3
    assert all(chosen.accept(each, verifier(root).name).witnesses.keys() == {"w"} for each in notes)
    assert not [each for each in caplog.records if each.name == "orchestrator.journal"]
    good = audit(root, "--policy", path)
    assert good.exit_code == 0, good.stderr
    assert "witnesses   w\n" in good.stdout
    stranger = cosignature.Signer(name="witness.test/other", key=keys.SigningKey.generate())
    both = path.read_text().replace("quorum w", f"witness o {note.vkey(stranger.verifier)}\ngroup g all w o\nquorum g")
    path.write_text(both)
    refused = audit(root, "--policy", path, "--json")
    assert refused.exit_code == 1
    assert "quorum g is not met: cosigned by w; g has 1 of 2, without o" in refused.stderr
    path.write_text("quorum\n")
    assert (audit(root, "--policy", path).exit_code, audit(root, "--policy", "none").exit_code) == (2, 2)


def test_checkpoints_bear_a_second_signature_where_it_is_wanted(execute, tmp_path: Path) -> None:
    """Under one ML-DSA-44 key, by which alone a policy may know the log; the same key when the run goes on without asking."""
    root = tmp_path / "run"
    execute(root, "ledger.post_quantum=true", "rounds=1")
    key = folder.RunFolder(root=root).second_key()
    assert key is not None
    second = cosignature.Verifier(name=verifier(root).name, key=key.public)
    path = tmp_path / "policy"
    path.write_text(f"log {note.vkey(second)}\nquorum none\n")
    with journal.published(root / "ledger.sqlite") as record:
        lines = [[line.name for line in note.split(signed)[1]] for _, signed in record.notes()]
    assert lines == [[second.name, second.name]] * len(lines)
    assert audit(root, "--policy", path).exit_code == 0
    with journal.Journal(root / "ledger.sqlite", folder.RunFolder(root=root).coordinator_key(), None, key) as ours:
        ours.publish()
    with journal.published(root / "ledger.sqlite") as record:
        assert [len(note.split(signed)[1]) for _, signed in record.notes()] == [2] * len(lines)
    plain = tmp_path / "plain"
    execute(plain, "rounds=1")
    assert folder.RunFolder(root=plain).second_key() is None
    assert audit(plain, "--policy", path).exit_code == 1


COMMANDS = {
    "a reversal": ("ledger", "reverse", "{root}", "1", "--reason", "other"),
    "a revocation": ("key", "revoke", "{root}", "holder-00", "--reason", "left"),
    "a new key of a holder": ("key", "rotate", "{root}", "holder-01"),
    "a new key of the coordinator": ("key", "rotate", "{root}", "coordinator"),
}


def test_whatever_publishes_does_it_as_the_run_does(witnessed: tuple[Path, witnesses.Served, Path], execute) -> None:
    """Taking back, revoking, rotating: each checkpoint has the second signature and the witness' line, as every round's has."""
    root, _, path = witnessed
    execute(root, f"ledger.witnesses={path}", "ledger.post_quantum=true")
    key = folder.RunFolder(root=root).second_key()
    second = cosignature.Verifier(name=verifier(root).name, key=key.public)
    chosen = policy.Policy.parse(path.read_bytes())
    twice = policy.Policy.parse(
        path.read_bytes().replace(note.vkey(verifier(root)).encode(), note.vkey(second).encode())
    )
    last = 0
    for what, command in COMMANDS.items():
        done = CliRunner().invoke(cli.cli, [each.format(root=root) for each in command])
        assert done.exit_code == 0, done.output
        published = (root / "checkpoint").read_bytes()
        size = checkpoint.LogCheckpoint.parse(note.split(published)[0]).size
        assert size > last, what
        last = size
        if what != "a new key of the coordinator":  # the witness knows the first key alone
            assert chosen.accept(published, second.name).witnesses.keys() == {"w"}, what
            assert twice.accept(published, second.name).witnesses.keys() == {"w"}, what
        assert len(note.split(published)[1]) >= 2, what


def test_where_the_policy_is_gone_it_is_published_and_told(
    witnessed: tuple[Path, witnesses.Served, Path], execute, caplog: pytest.LogCaptureFixture
) -> None:
    """A lacking cosignature stops nobody, here as in a round."""
    root, _, path = witnessed
    execute(root, f"ledger.witnesses={path}")
    path.unlink()
    done = CliRunner().invoke(cli.cli, list(map(str, ("ledger", "reverse", root, 1, "--reason", "other"))))
    assert done.exit_code == 0, done.output
    assert [str(path) in each.message for each in caplog.records if each.name == "orchestrator.publishing"] == [True]


def test_a_run_goes_on_without_its_witnesses(
    witnessed: tuple[Path, witnesses.Served, Path], execute, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning at each publication names the quorum and the witness; the run ends as it would have."""
    root, served, path = witnessed
    served.stop()
    came_to = execute(root, f"ledger.witnesses={path}")
    assert came_to.rounds == 2
    warnings = [each.getMessage() for each in caplog.records if each.name == "orchestrator.journal"]
    assert len(warnings) == 3
    assert all(each.startswith("quorum w is not met: cosigned by no witness (w: ") for each in warnings)
    assert audit(root).exit_code == 0
    assert audit(root, "--policy", path).exit_code == 1


def test_a_policy_that_cannot_be_read_starts_nothing(tmp_path: Path) -> None:
    """Exit 2, and the line is named."""
    (tmp_path / "policy").write_text("quorum none\nquorum none\n")
    arguments = ["run", *federation.TWO_ROUNDS, f"dir={tmp_path / 'run'}", f"ledger.witnesses={tmp_path / 'policy'}"]
    result = CliRunner().invoke(cli.cli, arguments, prog_name="folkmoot")
    assert result.exit_code == 2
    assert "policy line 2" in result.stderr
    assert not (tmp_path / "run").exists()


def serve(*arguments: object) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    code = "from orchestrator.commands import witness; witness.witness()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    """It prints its key and its address, logs a line a request, leaves at Ctrl-C, and comes back as the same witness."""
    import httpx

    key = keys.SigningKey.generate()
    text = note.vkey(note.Verifier(name="folkmoot.test/log", key=key.public))
    printed = []
    for _ in range(2):
        process = serve(tmp_path / "w", "--log", text, "--listen", "127.0.0.1:0", "--name", "witness.test/w")
        assert process.stdout is not None
        printed.append(process.stdout.readline().strip())
        address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
        assert httpx.post(f"{address}/add-checkpoint", content=b"\x1b[31m", trust_env=False).status_code == 400
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
        assert "add-checkpoint 400" in rest
        assert "\x1b[31m" not in rest
        assert "Traceback" not in rest
    assert printed[0] == printed[1]
    assert vkey.parse(printed[0]).name == "witness.test/w"
    assert (tmp_path / "w" / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--log", "nothing"), "no verifier key"),
        (("--listen", "8765"), "expected HOST:PORT"),
        (("--name", "a b"), "key name"),
        ((), "would cosign a fork"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """One sentence; above all where a witness has its key still, but not its memory."""
    from orchestrator.commands import witness as command

    keys.SigningKey.generate().save(tmp_path / "key")
    known = ("--log", note.vkey(note.Verifier(name="log", key=keys.SigningKey.generate().public)))
    result = CliRunner().invoke(command.witness, [str(tmp_path), *known, *arguments])
    assert result.exit_code in {1, 2}
    assert said in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr
