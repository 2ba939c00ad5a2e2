"""A bundle of a run that does not audit, or that ends in entries nobody signed for: what is promised of it is so."""

import contextlib
import dataclasses
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click import testing

from exchange import errors as exchange_errors
from ledger import dsse, log, statements
from orchestrator import cli, errors, folder, journal, replay, subject
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
    """Without --export the folder's audit reads the tail and finds it; with it only what is signed is audited, and told."""
    tail = unsigned(finished, in_round(2))
    assert "round 2: credit says postings" in invoke("audit", finished, "--no-memory", code=1)
    done = testing.CliRunner().invoke(cli.cli, ["audit", str(finished), "--no-memory", "--export", str(tmp_path / "a")])
    assert (done.exit_code, f"{tail} entries after its checkpoint" in done.stderr) == (0, True), done.output
    invoke("audit", tmp_path / "a", "--no-memory")


def ciphertext(root: Path) -> Path:
    """The file of the block of an update that the last round accepted."""
    with journal.published(root / "ledger.sqlite") as record:
        said = [statements.parse(entry.envelope.payload) for entry in record.entries()]
    offer = [each for each in said if isinstance(each, statements.UpdateOffer)][-1]
    [path] = (root / "blocks").glob(f"??/{offer.ciphertext}")
    return path


def test_a_failed_export_does_not_hide_what_was_found(finished: Path, tmp_path: Path) -> None:
    """The difference is told, exit 1, and beside it that there is no bundle of it and why."""
    test_replay.rewrite(finished, cheat)
    path = tmp_path / "evidence.car"

    def come(said: str) -> None:
        if said.startswith("writing block 0 "):
            path.write_bytes(b"theirs")

    what = subject.Exported(place=folder.RunFolder(root=finished), path=path, replace=False, told=come)
    with pytest.raises(
        errors.AuditError, match=r"round 1: credit says .* no bundle of it was written: .* exists"
    ) as caught:
        replay.Replay(what, lambda *_: None).audit()
    assert (caught.value.code, caught.value.exit_code, path.read_bytes()) == ("credit", 1, b"theirs")


def corrupt(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def oversized(path: Path) -> None:
    path.write_bytes(bytes(3 * 1024 * 1024))


@pytest.mark.parametrize("harm", [Path.unlink, corrupt, longer, oversized])
def test_of_a_block_that_cannot_be_read_there_is_evidence_too(
    finished: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """Gone, damaged, far too large: the finding stands, the bundle has what was read, and in that something is found too."""
    block, path = ciphertext(finished), tmp_path / "evidence.car"
    block.chmod(0o600)
    harm(block)
    plain = invoke("audit", finished, "--no-memory", code=1)
    said = invoke("audit", finished, "--no-memory", "--export", path, code=1)
    assert said.startswith(plain.removesuffix("\n"))
    assert f"{path} holds what was read, in which an audit finds a difference too" in said
    assert "block" in invoke("audit", path, "--no-memory", code=1)


def test_what_an_auditor_remembers_is_not_promised_of_the_bundle(finished: Path, tmp_path: Path) -> None:
    """An older log than was accepted before is refused and exported; whoever does not remember it finds nothing in it."""
    path, memory = tmp_path / "evidence.car", tmp_path / "memory"
    invoke("audit", finished, "--memory", memory)
    unsigned(finished)
    said = invoke("audit", finished, "--memory", memory, "--export", path, code=1)
    assert "both signed notes are kept in" in said
    assert f"{path} holds what was audited, in which nothing else was found" in said
    invoke("audit", path, "--no-memory")
    invoke("audit", path, "--memory", memory, code=1)


def test_where_no_bundle_can_be_written_the_finding_says_so(finished: Path, tmp_path: Path) -> None:
    """A log that lost its end does not open; one in which a row is damaged is found out and cannot be written."""
    path, whole = tmp_path / "evidence.car", tmp_path / "whole"
    shutil.copytree(finished, whole)
    with contextlib.closing(sqlite3.connect(finished / "ledger.sqlite")) as database, database:
        database.execute("DELETE FROM entry WHERE seq > 40")
    with contextlib.closing(sqlite3.connect(whole / "ledger.sqlite")) as database, database:
        database.execute("UPDATE entry SET leaf = ? WHERE seq = 40", (b"nothing",))
    for root in (finished, whole):
        plain = invoke("audit", root, "--no-memory", code=1)
        said = invoke("audit", root, "--no-memory", "--export", path, code=1)
        assert said.startswith(plain.removesuffix("\n"))
        assert "no bundle of it was written" in said
        assert not path.exists()


def test_of_a_bundle_in_which_something_is_found_no_other_is_made(finished: Path, tmp_path: Path) -> None:
    """It shows it already; that is said."""
    test_replay.rewrite(finished, cheat)
    one, other = tmp_path / "one.car", tmp_path / "other.car"
    invoke("audit", finished, "--no-memory", "--export", one, code=1)
    assert f"{other} was not written" in invoke("audit", one, "--no-memory", "--export", other, code=1)
    assert not other.exists()


def test_what_exits_2_is_unknown_and_no_difference(finished: Path, tmp_path: Path) -> None:
    """With --json: no folder to write to, a file in the way, no run, no policy; but a difference is one."""
    (tmp_path / "there").write_bytes(b"")
    for arguments in (
        (finished, "--export", tmp_path / "no" / "run.car"),
        (finished, "--export", tmp_path / "there"),
        (tmp_path / "nothing",),
        (tmp_path,),
        (finished, "--policy", tmp_path / "no"),
    ):
        said = answered("audit", *arguments, code=2)
        assert (said["ok"], said.keys()) == (None, {"ok", "unknown"}), arguments
    test_replay.rewrite(finished, cheat)
    said = answered("audit", finished, "--no-memory", code=1)
    assert (said["ok"], said.keys()) == (False, {"ok", "difference"})


def test_what_audits_and_cannot_be_shown_to_others_is_no_bundle(finished: Path, tmp_path: Path) -> None:
    """A block that is refused for its size and damaged besides: the owner's verdict needs no more of it, a stranger's would."""
    block, path = ciphertext(finished), tmp_path / "run.car"
    block.chmod(0o600)
    longer(block)
    what = subject.Exported(place=folder.RunFolder(root=finished), path=path, replace=False, told=lambda _: None)
    with pytest.raises(exchange_errors.BlockCorruptError), subject.opened(what) as found:  # noqa: PT012
        with pytest.raises(exchange_errors.TooLargeError):
            found.store.get(block.name, limit=5)
        found.finish()
    assert not path.exists()
