"""What a round leaves to the next: the aggregate's file, the standing's file, and an audit that reads both."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from aggregation import standing
from exchange import tensors
from ledger import errors as ledger_errors
from orchestrator import aggregate, errors, folder, replay

SPECS = (tensors.TensorSpec(name="w", shape=(2,)), tensors.TensorSpec(name="b", shape=(1,)))
CID = "bafkreidxehfut5vwkl33pajf3yacteentofevhpbs5j5dfndqsb7krecka"
MEMBERS = {
    "holder-00": standing.Standing(gain=-1.5, length=1e300, reach=0.1, rounds=3),
    "holder-01": standing.Standing(),
}


@pytest.mark.parametrize("named", ["", CID])
def test_an_aggregate_is_read_as_it_was_written(named: str) -> None:
    """With the standing it names, or none."""
    values = torch.tensor([1, -(2**31), 2**31 - 1], dtype=torch.int32)
    found = aggregate.decode(aggregate.encode(aggregate.Aggregate(values=values, standing=named), SPECS), SPECS)
    assert torch.equal(found.values, values)
    assert found.standing == named


def test_an_aggregate_with_other_metadata_is_refused() -> None:
    """A format of somebody else, by name."""
    file = bytes(tensors.encode(SPECS, dtype="I32", data=bytes(12), metadata={"format": "folkmoot-update/v1"}))
    with pytest.raises(errors.RoundError, match="folkmoot-update/v1"):
        aggregate.decode(file, SPECS)


def test_standings_are_read_as_they_were_written() -> None:
    """Every bit of the doubles."""
    assert aggregate.decode_standings(aggregate.encode_standings(MEMBERS)) == MEMBERS


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(format="folkmoot-standing/v2"),
        lambda record: record.update(more=1),
        lambda record: record.pop("members"),
        lambda record: record["members"].update({"holder-00": ["1.0", "1.0", "1.0"]}),
        lambda record: record["members"].update({"holder-00": ["1.0", "1.0", "1.0", "3"]}),
        lambda record: record["members"].update({"holder-00": ["1.00", "1.0", "1.0", 3]}),
        lambda record: record["members"].update({"holder-00": ["nan", "1.0", "1.0", 3]}),
        lambda record: record["members"].update({"holder-00": ["inf", "1.0", "1.0", 3]}),
        lambda record: record["members"].update({"holder-00": "none"}),
        lambda record: record.update(members=[]),
    ],
)
def test_standings_in_another_form_are_refused(change) -> None:
    """One byte form, finite numbers, nothing missing and nothing more."""
    record = json.loads(aggregate.encode_standings(MEMBERS))
    change(record)
    file = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(errors.RoundError, match="a standing file of"):
        aggregate.decode_standings(file)


def test_standings_that_are_no_json_are_refused() -> None:
    """By the ledger's own reader."""
    with pytest.raises(ledger_errors.StatementError):
        aggregate.decode_standings(b"[")


@pytest.mark.parametrize("last", [False, True])
def test_an_audit_misses_a_standing_that_is_gone(pristine: Path, tmp_path: Path, *, last: bool) -> None:
    """The file of the first round, or of the last, which no later round has needed: both named by CID."""
    root = tmp_path / "run"
    shutil.copytree(pristine, root)
    where = folder.RunFolder(root=root).store / "blocks"
    files = {path: path.read_bytes() for path in where.rglob("*") if path.is_file()}
    standings = [path for path, data in files.items() if data.startswith(b'{"format":"folkmoot-standing/v1"')]
    rounds = {path: max(row[3] for row in json.loads(files[path])["members"].values()) for path in standings}
    assert len(standings) > 1
    chosen = sorted(standings, key=rounds.__getitem__)[-1 if last else 0]
    chosen.unlink()
    with pytest.raises(errors.AuditError, match=chosen.name):
        replay.Replay(folder.RunFolder(root=root), lambda *_: None).audit()
