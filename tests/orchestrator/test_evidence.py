"""A bundle of a run that does not audit, or that ends in entries nobody signed for: what is promised of it is so."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click import testing

from ledger import dsse, log, statements
from orchestrator import cli, folder, journal
from tests import bundles
from tests.orchestrator import test_replay

Change = Callable[[statements.Predicate], statements.Predicate]


def invoke(*arguments: object, code: int = 0) -> str:
    done = testing.CliRunner().invoke(cli.cli, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output


def answered(*arguments: object, code: int) -> dict[str, object]:
    """What `--json` prints of a command that does not end well."""
    done = testing.CliRunner().invoke(cli.cli, [*map(str, arguments), "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def cheat(said: statements.Predicate) -> statements.Predicate:
    """Another split of what a round paid."""
    if not isinstance(said, statements.CreditTransfer):
        return said
    (issued, pool), (first, low), *others, (last, high) = said.postings
    return dataclasses.replace(said, postings=((issued, pool), (first, low + 1), *others, (last, high - 1)))


def in_round(number: int) -> Change:
    return lambda said: cheat(said) if isinstance(said, statements.CreditTransfer) and said.round == number else said


def unsigned(root: Path, change: Change = lambda said: said, *, stop: int | None = None) -> int:
    """Entries of the tail of a run that was killed in its last round: none of its entries is under a signed checkpoint."""
    where = folder.RunFolder(root=root)
    key = where.coordinator_key()
    with journal.published(where.ledger) as record:
        envelopes = [entry.envelope for entry in record.entries()][:stop]
        read = [statements.parse(each.payload) for each in envelopes]
        opened = max(at for at, said in enumerate(read) if isinstance(said, statements.RoundOpen))
        sizes = [size for size, _ in record.notes() if size <= opened]
    for path in (*root.glob("ledger.sqlite*"), where.checkpoint):
        path.unlink()
    with log.Log.open(where.ledger, origin=journal.origin(key.public.fingerprint)) as record:
        for envelope, said in zip(envelopes, read, strict=True):
            changed = change(said)
            again = envelope if changed == said else dsse.sign(statements.build(changed), key)
            record.append([again], head=record.head)
            if record.size in sizes:
                record.publish(key)
        return record.size - sizes[-1]


@pytest.mark.parametrize("lacking", [0, 1, 3])
def test_a_run_that_was_killed_in_a_round_gives_a_bundle_that_audits(
    finished: Path, tmp_path: Path, lacking: int
) -> None:
    """The unsigned tail is neither read nor in it: the owner and the stranger are told the same of the same entries."""
    tail = unsigned(finished, stop=51 - lacking)
    path = tmp_path / "run.car"
    owner = json.loads(invoke("audit", finished, "--no-memory", "--json", "--export", path))
    stranger = json.loads(invoke("audit", path, "--no-memory", "--json"))
    assert owner.pop("unsigned") == tail
    assert stranger.pop("unsigned") == 0
    assert tail > 10
    assert owner | {"seconds": 0} == stranger | {"seconds": 0}
    invoke("audit", finished, "--no-memory", "--export", tmp_path / "again.car")
    assert path.read_bytes() == (tmp_path / "again.car").read_bytes()


def test_a_difference_in_the_tail_alone_is_not_promised_to_be_in_the_bundle(finished: Path, tmp_path: Path) -> None:
    """Without --export the folder's audit reads the tail and finds it; with --export only what is signed is audited, and told."""
    tail = unsigned(finished, in_round(2))
    assert "round 2: credit says postings" in invoke("audit", finished, "--no-memory", code=1)
    done = testing.CliRunner().invoke(cli.cli, ["audit", str(finished), "--no-memory", "--export", str(tmp_path / "a")])
    assert (done.exit_code, f"{tail} entries after its checkpoint" in done.stderr) == (0, True), done.output
    invoke("audit", tmp_path / "a", "--no-memory")
