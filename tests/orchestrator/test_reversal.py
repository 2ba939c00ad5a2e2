"""`folkmoot ledger reverse`: a round's credit is taken back once, exactly, and everybody can read that it was and why."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click import testing

from ledger import accounts, statements
from orchestrator import cli, folder, journal, reversal, summary
from orchestrator import errors as our_errors
from tests.orchestrator import test_replay

Execute = Callable[..., summary.Summary]


def invoke(*arguments: object, code: int = 0) -> str:
    done = testing.CliRunner().invoke(cli.cli, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output


def made(root: Path) -> list[accounts.Transfer]:
    with journal.published(root / "ledger.sqlite") as record:
        return list(accounts.transfers(record.entries()))


def test_credit_is_taken_back_to_the_micro(finished: Path) -> None:
    """Its opposite alone is added; each member has what the other round paid it, none less than nothing, and all sum to 0."""
    first, second = made(finished)
    said = json.loads(invoke("ledger", "reverse", finished, 1, "--reason", "audit-difference", "--json"))
    *before, undone = made(finished)
    assert before == [first, second]
    assert (said["id"], said["entry"], said["round"]) == ("reversal/1/audit-difference", undone.seq, 1)
    assert undone.postings == tuple((name, -amount) for name, amount in first.postings)
    held = accounts.balances(made(finished))
    left = dict(second.postings)
    assert held == {name: left.get(name, 0) for name in held}
    assert sum(held.values()) == 0
    assert min(amount for name, amount in held.items() if name != "issued") >= 0
    assert said["balances"] == {
        name.removeprefix("member:"): held[name] for name, _ in first.postings if name != "issued"
    }


def test_an_audit_lists_it_with_its_reason(finished: Path, tmp_path: Path) -> None:
    """In the folder, in a bundle and to a person; the rounds are recomputed as before."""
    invoke("ledger", "reverse", finished, 2, "--reason", "holder-lied")
    report = json.loads(invoke("audit", finished, "--no-memory", "--json", "--export", tmp_path / "run.car"))
    assert (report["reversals"], report["taken_back"], report["unsigned"]) == (1, {"2": "holder-lied"}, 0)
    assert report["recomputed"] == 2
    printed = invoke("audit", tmp_path / "run.car", "--no-memory")
    assert "taken back  round 2 (holder-lied)\n" in printed
    assert "1 credits of a round were taken back; that is the operator's word" in printed
    assert "verified" in invoke("ledger", "export", finished, "--format", "hledger", "--out", tmp_path / "credits")
    assert "reversal/2/holder-lied" in (tmp_path / "credits").read_text()


def test_it_is_done_once(finished: Path) -> None:
    """The second time, with the same reason or another, nothing is written, and who did it when is told."""
    invoke("ledger", "reverse", finished, 1, "--reason", "audit-difference")
    before = made(finished)
    for reason in ("audit-difference", "other"):
        again = invoke("ledger", "reverse", finished, 1, "--reason", reason, code=2)
        assert f"taken back at entry {before[-1].seq} (audit-difference)" in again
    assert made(finished) == before


def test_what_was_not_paid_is_not_taken_back(finished: Path) -> None:
    """No such round, no such folder, no reason, no key."""
    before = made(finished)
    assert "was not paid; the rounds up to 2 were" in invoke(
        "ledger", "reverse", finished, 3, "--reason", "other", code=2
    )
    assert "a reason code" in invoke("ledger", "reverse", finished, 1, "--reason", "An Audit", code=2)
    assert "holds no run" in invoke("ledger", "reverse", finished / "no", 1, "--reason", "other", code=2)
    (finished / "keys" / "coordinator").rename(finished / "elsewhere")
    assert "without that key" in invoke("ledger", "reverse", finished, 1, "--reason", "other", code=2)
    assert made(finished) == before


def test_while_somebody_runs_it_nobody_else_does(finished: Path) -> None:
    """The folder is held by one process at a time."""
    where = folder.RunFolder(root=finished)
    with where.locked(), pytest.raises(our_errors.FolderError, match="another process"):
        reversal.take_back(where, 1, "other")


def test_stopped_before_the_checkpoint_it_goes_on(finished: Path) -> None:
    """On the log, and under no signed checkpoint: the same command signs one, adds nothing, and changes no reason."""
    where = folder.RunFolder(root=finished)
    paid = made(finished)[0]
    said = statements.CreditTransfer(
        author="coordinator",
        run=test_replay.commits(finished)[0].run,
        round=1,
        id="reversal/1/other",
        code="reversal",
        reverses=paid.id,
        postings=tuple((name, -amount) for name, amount in paid.postings),
    )
    with journal.Journal(where.ledger, where.coordinator_key()) as record:
        record.append(*record.sign(said))
    assert test_replay.audit(finished).unsigned == 1
    arguments = ["ledger", "reverse", str(finished), "1", "--reason", "audit-difference", "--json"]
    again = testing.CliRunner().invoke(cli.cli, arguments)
    assert (again.exit_code, json.loads(again.stdout)["reason"]) == (0, "other")
    assert (
        "for other, and was not signed for yet: now it is, and that reason stands, not audit-difference" in again.stderr
    )
    assert (test_replay.audit(finished).unsigned, len(made(finished))) == (0, 3)


def test_a_round_that_paid_nobody_has_nothing_to_take_back(tmp_path: Path, execute: Execute) -> None:
    """And a statement that does nothing is not made."""
    root = tmp_path / "run"
    execute(root, "rounds=1", "credit.pool=0")
    assert "paid nobody" in invoke("ledger", "reverse", root, 1, "--reason", "other", code=2)


def test_of_a_round_that_does_not_audit_it_hides_nothing(finished: Path) -> None:
    """Taking its credit back does not mend a round that was cheated: the audit names it as before."""

    def cheat(said: statements.Predicate) -> statements.Predicate:
        if not isinstance(said, statements.CreditTransfer) or said.round != 1:
            return said
        (issued, pool), (first, low), *others, (last, high) = said.postings
        return dataclasses.replace(said, postings=((issued, pool), (first, low + 1), *others, (last, high - 1)))

    test_replay.rewrite(finished, cheat)
    before = invoke("audit", finished, "--no-memory", code=1)
    assert "round 1: credit says postings" in before
    invoke("ledger", "reverse", finished, 1, "--reason", "audit-difference")
    assert invoke("audit", finished, "--no-memory", code=1) == before
