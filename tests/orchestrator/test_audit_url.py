"""`folkmoot audit URL`: the whole replay from what a service hands out, which is believed nothing."""

import json
from pathlib import Path

import pytest
from click import testing

from ledger import log, statements
from orchestrator import cli, errors, findings, folder, journal, replay, subject
from tests import runs


def audit(address: tuple[str, int], store: Path | None = None) -> findings.Report:
    url = f"http://127.0.0.1:{address[1]}"
    return replay.Replay(subject.Served(url=url, store=store), lambda *_: None).audit()


def test_the_same_findings_as_in_the_folder(finished: Path, tmp_path: Path) -> None:
    """Everything but the wall time is the same, and with a store nothing is fetched twice."""
    here = replay.Replay(folder.RunFolder(root=finished), lambda *_: None).audit()
    with runs.serving(finished) as address:
        there = audit(address, tmp_path / "store")
    own = {"seconds", "checked"}
    fields = [name for name in findings.Report.__slots__ if name not in own]
    assert [getattr(here, name) for name in fields] == [getattr(there, name) for name in fields]
    # Of a URL one checkpoint can be had, the newest.
    assert here.checked | {"roots": 1} == dict(there.checked)
    assert (tmp_path / "store" / "blocks").is_dir()


def test_entries_that_no_checkpoint_covers_are_counted(finished: Path) -> None:
    """What is on the log beyond the published checkpoint is not audited, and the report says how much it is."""
    where = folder.RunFolder(root=finished)
    with journal.Journal(where.ledger, where.coordinator_key()) as record:
        last = record.history.finished
        assert last is not None
        assert last.credit is not None
        paid = last.credit
        undone = statements.CreditTransfer(
            author=paid.author,
            run=paid.run,
            round=paid.round,
            id=f"reversal/{paid.round}",
            code="reversal",
            reverses=paid.id,
            postings=tuple((name, -amount) for name, amount in paid.postings),
        )
        record.append(*record.sign(undone))
    with runs.serving(finished) as address:
        with runs.client(address) as asked:
            runs.wait(asked)
        report = audit(address)
    assert (report.unsigned, report.reversals, report.recomputed) == (1, 0, 2)


def test_a_file_that_is_not_handed_out_is_no_verdict_but_a_damaged_log_is(finished: Path) -> None:
    """A service that is down ends with 2 and no word on the run; one whose aggregate is gone is named."""
    runner = testing.CliRunner()
    with runs.serving(finished) as address:
        url = f"http://127.0.0.1:{address[1]}"
        with runs.client(address) as asked:
            runs.wait(asked)
        good = runner.invoke(cli.cli, ["audit", url, "--no-memory", "--json"])
        assert good.exit_code == 0, good.output
        assert json.loads(good.stdout)["recomputed"] == 2
        commit = next(each for each in _said(finished) if isinstance(each, statements.RoundCommit))
        for path in (finished / "blocks").rglob("*"):
            if path.is_file() and path.name.startswith(commit.aggregate):
                path.unlink()
        with pytest.raises(errors.AuditError, match=commit.aggregate):
            audit(address)
    down = runner.invoke(cli.cli, ["audit", url, "--no-memory", "--json"])
    assert down.exit_code == 2
    assert json.loads(down.stdout)["ok"] is None
    refused = runner.invoke(cli.cli, ["audit", str(finished), "--store", "x"])
    assert (refused.exit_code, "--store" in refused.output) == (2, True)


def _said(root: Path) -> list[statements.Predicate]:
    with journal.published(folder.RunFolder(root=root).ledger) as record:
        assert isinstance(record, log.Log)
        return [statements.parse(entry.envelope.payload) for entry in record.entries()]
