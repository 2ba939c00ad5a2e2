"""Whole runs, in this process: same seed same bits, interrupted or not, whoever misbehaves."""

import json
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from client import worker
from ledger import dsse, keys, statements, transfers
from ledger import errors as ledger_errors
from orchestrator import errors, findings, folder, inprocess, journal, replay, summary
from tests import federation


def audit(root: Path) -> findings.Report:
    return replay.Replay(folder.RunFolder(root=root), lambda _number, _total: None).audit()


def test_two_runs_of_one_seed_end_at_the_same_checkpoint(pristine: Path, tmp_path: Path, execute: Callable) -> None:
    """Other keys, other ciphertext, other log: the same model, to the bit; and another seed, another model."""
    first = replay.Replay(folder.RunFolder(root=pristine), lambda _number, _total: None).audit()
    again = execute(tmp_path / "again")
    other = execute(tmp_path / "other", "seed=1")
    assert again.checkpoint == first.checkpoint
    assert again.head != first.head
    assert other.checkpoint != first.checkpoint


def test_a_finished_run_is_left_alone(finished: Path, execute: Callable) -> None:
    """The same command on a finished run reads the result and adds nothing."""
    before = (finished / "checkpoint").read_bytes()
    came_to = execute(finished)
    assert came_to.entries == 51
    assert (finished / "checkpoint").read_bytes() == before


def test_two_hostile_holders_do_not_matter_much_and_three_malformed_not_at_all(
    tmp_path: Path, execute: Callable
) -> None:
    """Rejected by reason on the ledger in every round, while the seven others train on; and the run audits."""
    came_to = execute(tmp_path / "run", "attack=malformed")
    rejected = {name: dict(each.rejected) for name, each in came_to.holders.items() if each.rejected}
    assert rejected == {
        "holder-01": {"tensors-shape": 2},
        "holder-04": {"tensors-dtype": 2},
        "holder-08": {"seal-garbage": 2},
    }
    assert all(came_to.holders[name].credit == 0 for name in rejected)
    assert audit(tmp_path / "run").recomputed == 2


@pytest.mark.parametrize("answers", [0, 1, 9, 10, 15])
def test_an_interrupted_run_ends_at_the_same_checkpoint(pristine: Path, tmp_path: Path, answers: int) -> None:
    """Stopped after any number of answers, the same command goes on, asks nobody twice, and ends at the same bits."""
    root = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(answers))
    federation.conduct(root, inprocess.InProcessPool())
    report = audit(root)
    expected = audit(pristine)
    assert report.checkpoint == expected.checkpoint
    assert report.checked == {**expected.checked, "roots": report.checked["roots"]}


@pytest.mark.parametrize("header", [False, True])
def test_a_kill_while_the_database_is_made_can_be_resumed(
    pristine: Path, tmp_path: Path, execute: Callable, *, header: bool
) -> None:
    """A database without tables, or without a byte, is a run that has not begun: it begins (attack 38)."""
    root = tmp_path / "run"
    where = folder.RunFolder(root=root)
    where.coordinator_key()
    where.config.write_text(federation.settings_for(root).resolved)
    where.ledger.touch()
    if header:
        with sqlite3.connect(where.ledger) as database:
            database.execute("PRAGMA journal_mode=WAL")
        database.close()
    execute(root)
    assert audit(root).checkpoint == audit(pristine).checkpoint


class Forging(inprocess.InProcessPool):
    """A pool in which one member's offers are signed by a stranger, and another's belong to the round before."""

    def __init__(self) -> None:
        super().__init__()
        self._stranger = keys.SigningKey.generate()
        self._old: dict[str, bytes] = {}

    def wait(self, timeout: float) -> list[worker.Reply]:
        return [self._forged(reply) for reply in super().wait(timeout)]

    def _forged(self, reply: worker.Reply) -> worker.Reply:
        assert reply.offer is not None
        if reply.member == "holder-00":
            payload = dsse.Envelope.parse(reply.offer).payload
            return worker.Reply(member=reply.member, offer=dsse.sign(payload, self._stranger).to_bytes())
        if reply.member == "holder-01":
            return worker.Reply(member=reply.member, offer=self._old.setdefault(reply.member, reply.offer))
        if reply.member == "holder-02":
            return worker.Reply(member=reply.member, offer=b'{"payload":1}')
        return reply


def test_offers_the_ledger_refuses_are_named_and_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A stranger's signature, a replayed offer and garbage never reach the ledger; the round goes on (attacks 14, 16, 18)."""
    with caplog.at_level(logging.WARNING):
        federation.conduct(tmp_path / "run", Forging())
    with journal.published(tmp_path / "run" / "ledger.sqlite") as record:
        came_to = summary.read(record)
    assert came_to.holders["holder-00"].rejected == {"no-offer": 2}
    assert came_to.holders["holder-01"].rejected == {"no-offer": 1}
    assert came_to.holders["holder-02"].rejected == {"no-offer": 2}
    assert "offer of holder-01 refused" in caplog.text
    assert audit(tmp_path / "run").recomputed == 2


def test_a_folder_with_another_plan_is_refused(finished: Path, execute: Callable) -> None:
    """The message says what differs and what to do; the folder is untouched."""
    with pytest.raises(errors.FolderError, match="differs in rounds"):
        execute(finished, "rounds=3")
    with pytest.raises(errors.FolderError, match="other hostile holders"):
        execute(finished, "attack=none")
    with pytest.raises(errors.FolderError, match="threads=1"):
        execute(finished, "pool.threads=2")
    assert audit(finished).recomputed == 2


def test_a_busy_folder_is_refused(finished: Path, execute: Callable) -> None:
    """Two coordinators never work on one folder (attack 42)."""
    with (
        folder.RunFolder(root=finished).locked(),
        pytest.raises(errors.FolderError, match="another process"),
    ):
        execute(finished)


def test_a_fault_of_the_machine_is_no_holders_answer(pristine: Path, tmp_path: Path) -> None:
    """A damaged outbox or a full disk stops the run, resumable; it does not cost anybody a round (attack 40)."""
    root = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(3))
    outbox = root / "holders" / "holder-05" / "offer.json"
    outbox.write_bytes(b"junk")
    with pytest.raises(ledger_errors.StatementError):
        federation.conduct(root, inprocess.InProcessPool())
    outbox.unlink()
    federation.conduct(root, inprocess.InProcessPool())
    assert audit(root).checkpoint == audit(pristine).checkpoint


def test_a_run_without_its_coordinators_key_says_so(finished: Path, execute: Callable) -> None:
    """A lost key is not silently replaced by another."""
    (finished / "keys" / "coordinator").unlink()
    with pytest.raises(errors.FolderError, match="nobody can continue"):
        execute(finished)


def test_a_lost_round_identity_stops_the_run(tmp_path: Path) -> None:
    """Without the identity a round was opened with nothing can be opened: the run stops rather than reject everybody."""
    root = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(3))
    (root / "keys" / "rounds" / "1.age").unlink()
    with pytest.raises(errors.RoundError, match=r"keys/rounds/1\.age"):
        federation.conduct(root, inprocess.InProcessPool())


def test_secrets_stay_where_they_belong(finished: Path) -> None:
    """Private keys are 0600 and in no other file; a disclosed round's identity is deleted from disk (attacks 47, 48)."""
    private = [finished / "keys" / "coordinator", *finished.glob("holders/*/key")]
    assert len(private) == 11
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    assert not list(finished.glob("keys/rounds/*"))
    secrets = [path.read_bytes().splitlines()[2] for path in private]
    others = [path for path in finished.rglob("*") if path.is_file() and path not in private]
    assert not any(secret in path.read_bytes() for path in others for secret in secrets)


def test_an_identity_that_outlived_its_round_is_deleted(finished: Path, execute: Callable) -> None:
    """A crash between commit and deletion leaves a key behind; the next start removes it."""
    stale = finished / "keys" / "rounds" / "2.age"
    stale.write_text("AGE-SECRET-KEY-1\n")
    execute(finished)
    assert not stale.exists()


def test_metrics_follow_the_ledger(finished: Path, execute: Callable) -> None:
    """One line a round; a torn or missing file is rebuilt from the ledger, and what was measured is kept."""
    path = finished / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["round"] for line in lines] == [1, 2]
    phases = {"admit", "train", "encode", "seal", "ledger", "publish", "aggregate", "evaluate", "round"}
    for measured in ("seconds", "cpu_seconds"):
        assert set(lines[0][measured]) == phases
        parts = sum(lines[0][measured].values()) - lines[0][measured]["round"]
        assert 0 < parts <= lines[0][measured]["round"] + 0.01, "one process: no second is counted twice"
    path.write_text(path.read_text().replace('"accuracy": 0.', '"accuracy": 1.')[:-20] + "\n{}\n[1]\n\xff\n")
    execute(finished)
    rebuilt = [json.loads(line) for line in path.read_text().splitlines()]
    assert rebuilt[0] == lines[0]
    assert rebuilt[1] == {
        key: value for key, value in lines[1].items() if key not in {"seconds", "cpu_seconds", "bytes"}
    }


def test_the_summary_is_what_the_ledger_says(finished: Path) -> None:
    """Credit of a round sums to the plan's pool; every holder is in the table."""
    with journal.published(finished / "ledger.sqlite") as record:
        came_to = summary.read(record)
        said = [statements.parse(entry.envelope.payload) for entry in record.entries()]
    paid = [each.postings for each in said if isinstance(each, statements.CreditTransfer)]
    assert [sum(transfers.changes(postings).values()) for postings in paid] == [1_000_000, 1_000_000]
    assert [dict(postings)["issued"] for postings in paid] == [-1_000_000, -1_000_000]
    assert sum(holder.credit for holder in came_to.holders.values()) == 2_000_000
    assert len(came_to.holders) == 10
