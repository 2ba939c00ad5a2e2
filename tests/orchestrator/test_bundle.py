"""A bundle is all that a stranger needs: the same verdict on another machine, and another for any altered byte."""

import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click import testing

from exchange import cid, reading
from ledger import checkpoint, keys, publication, statements, tiles
from orchestrator import bundle, bundling, cli, errors, findings, folder, replay, subject, summary
from tests import bundles, runs
from tests.ledger import published
from tests.orchestrator import test_replay

Execute = Callable[..., summary.Summary]


def invoke(*arguments: object, code: int = 0) -> str:
    done = testing.CliRunner().invoke(cli.cli, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output


def steady(said: str) -> dict[str, object]:
    """What an audit said, without how long it took."""
    return {name: value for name, value in json.loads(said).items() if name != "seconds"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three rounds; nobody may change it."""
    from tests.orchestrator import conftest

    where = tmp_path_factory.mktemp("three") / "run"
    conftest.execute(where, "rounds=3")
    return where


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle."""
    path = tmp_path_factory.mktemp("whole") / "run.car"
    invoke("audit", root, "--no-memory", "--export", path)
    return path


def exported(place: subject.Inspected, path: Path, *, replace: bool = False) -> findings.Report:
    what = subject.Exported(place=place, path=path, replace=replace, told=lambda _: None)
    return replay.Replay(what, lambda *_: None).audit()


def test_a_stranger_comes_to_the_same(root: Path, whole: Path, tmp_path: Path) -> None:
    """Another process, an empty folder, no home: every line is that of the run's own audit, and nothing is left behind."""
    for name in ("here", "home", "temporary"):
        (tmp_path / name).mkdir()
    given = shutil.copy(whole, tmp_path / "here" / "given.car")
    command = [Path(sys.executable).parent / "folkmoot", "audit", "given.car", "--no-memory", "--json"]
    environment = os.environ | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary")}
    done = subprocess.run(command, cwd=Path(given).parent, env=environment, capture_output=True, check=True)
    assert steady(done.stdout.decode()) == steady(invoke("audit", root, "--no-memory", "--json"))
    left = [path for path in tmp_path.rglob("*") if path.is_file() and ".cache" not in path.parts]
    assert left == [Path(given)]
    assert _lines(invoke("audit", given)) == _lines(invoke("audit", root, "--memory", tmp_path / "other"))


def _lines(said: str) -> list[str]:
    return [line for line in said.splitlines() if not line.startswith("no difference")]


def test_the_same_run_gives_the_same_bytes(root: Path, whole: Path, tmp_path: Path) -> None:
    """Again from the run, from a copy of it, from the bundle: one file, so a digest names it."""
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    places = (folder.RunFolder(root=root), folder.RunFolder(root=copy), subject.Bundled(path=whole, told=print))
    for number, place in enumerate(places):
        exported(place, tmp_path / f"{number}.car")
        assert (tmp_path / f"{number}.car").read_bytes() == whole.read_bytes()


def test_a_service_gives_a_bundle_too(root: Path, tmp_path: Path) -> None:
    """With the one note that a service shows; else it audits as the run does."""
    path = tmp_path / "served.car"
    with runs.serving(root) as address:
        url = f"http://127.0.0.1:{address[1]}"
        with runs.client(address) as asked:
            runs.wait(asked)
        there = steady(invoke("audit", url, "--no-memory", "--json", "--export", path))
    assert steady(invoke("audit", path, "--no-memory", "--json")) == there
    assert bundles.index(path.read_bytes())["notes"] == []


def test_it_holds_what_an_audit_reads_and_no_more(root: Path, whole: Path) -> None:
    """The log's published files with the identities, and the files that the log names; not one block of the run besides."""
    data = whole.read_bytes()
    held, said = bundles.blocks(data), [statements.parse(each) for each in bundles.payloads(data)]
    named = {each.ciphertext for each in said if isinstance(each, statements.UpdateOffer)}
    for each in said:
        if isinstance(each, statements.RoundCommit):
            named |= {each.aggregate, each.checkpoint}
    assert named <= {str(name) for name in held}
    assert sum(isinstance(each, statements.RoundDisclose) for each in said) == 3
    kinds = [part.kind for part in bundles.parts(data)]
    assert {kind: kinds.count(kind) for kind in bundles.KINDS[3:]} == {
        "index": 1,
        "entries": 1,
        "hashes": 1,
        "identity": 3,
        "ciphertext": 30,
        "aggregate": 3,
        "checkpoint": 4,
    }
    assert kinds.count("other") == 9  # after each round the members' standing, the book of scores, and its sketches
    assert len({path.name for path in (root / "blocks").glob("??/*")} - {str(name) for name in held}) == 0


def damaged(path: Path, positions: list[tuple[str, int]], draw: Callable[[], int]) -> Iterator[str]:
    """What is said of the bundle with one byte altered, for each position in turn; the file is mended in between."""
    with path.open("r+b", buffering=0) as file:
        for _, position in positions:
            file.seek(position)
            before = file.read(1)
            file.seek(position)
            file.write(bytes([before[0] ^ draw()]))
            with pytest.raises(errors.AuditError) as caught, bundle.opened(path):
                pass
            yield str(caught.value)
            file.seek(position)
            file.write(before)


def difference(path: Path) -> str:
    """What an audit finds; nothing if it finds nothing."""
    try:
        bundles.audit(path)
    except errors.AuditError as error:
        return str(error)
    return ""


def test_any_altered_byte_is_refused(whole: Path, tmp_path: Path) -> None:
    """30: framing, index, entries, identities, tiles, files: 120 places, each kind as often, by one to all bits of a byte."""
    path, draw = Path(shutil.copy(whole, tmp_path / "altered.car")), random.Random(9)
    positions = bundles.positions(whole.read_bytes(), 120, seed=9)
    said = list(damaged(path, positions, lambda: draw.randrange(1, 256)))
    assert len(said) == 120
    assert all("\n" not in each and str(path) in each for each in said)
    assert path.read_bytes() == whole.read_bytes()
    assert bundles.audit(path).recomputed == 3


def test_one_packed_again_around_an_altered_byte_is_refused(whole: Path, tmp_path: Path) -> None:
    """30: an adversary who gives the altered block its right name, and the index and the root theirs, is found out too."""
    data, path = whole.read_bytes(), tmp_path / "packed.car"
    chosen = [each for each in bundles.positions(data, 40, seed=4) if each[0] not in bundles.KINDS[:3]]
    assert len(chosen) == 28
    for kind, position in chosen:
        path.write_bytes(bundles.altered(data, position, 1 << position % 8))
        assert difference(path), f"{kind} at {position}"


def _without(data: bytes, kind: str) -> bytes:
    held = bundles.blocks(data)
    part = next(each for each in bundles.parts(data) if each.kind == kind)
    del held[part.block]
    return bundles.pack(held, bundles.root(data))


def _with(data: bytes, *more: bytes) -> bytes:
    held = bundles.blocks(data) | {bundles.named(cid.RAW, block): block for block in more}
    return bundles.pack(held, bundles.root(data))


def _resigned(data: bytes, size: int, key: keys.SigningKey | None = None) -> bytes:
    """With a note by another that promises so many entries."""
    note = bundles.index(data)["checkpoint"].encode()
    promise = dataclasses.replace(bundle.claimed(note), size=size)
    return bundles.reindexed(data, checkpoint=checkpoint.sign(promise, key or keys.SigningKey.generate()).decode())


def _swapped(data: bytes) -> bytes:
    return bundles.reindexed(data, tiles=bundles.index(data)["tiles"][::-1])


def _other(data: bytes) -> cid.Cid:
    """A block that is not the index."""
    return next(name for name in bundles.blocks(data) if name != bundles.root(data))


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut off": (lambda data: data[:-1], "cut off"),
    "half of it": (lambda data: data[: len(data) // 2], "cut off"),
    "a section less": (lambda data: _without(data, "ciphertext"), "is not in"),
    "no tiles": (lambda data: _without(data, "hashes"), "is not in"),
    "a stray block": (lambda data: _with(data, b"a stray"), "belongs to nothing"),
    "a file that the log does not name": (lambda data: _with(data, b"one", b"two"), "belongs to nothing"),
    "bytes after it": (lambda data: data + b"\x00", "36 of a CID"),
    "itself twice": (lambda data: data + data, ""),
    "tiles in another order": (_swapped, ""),
    "no index": (lambda data: bundles.pack(bundles.blocks(data), _other(data)), "no whole bundle"),
    "another format": (
        lambda data: bundles.reindexed(data, format="folkmoot-bundle/v2"),
        "expected folkmoot-bundle/v1",
    ),
    "a field more": (lambda data: bundles.reindexed(data, more=1), "of the format"),
    "tiles that are numbers": (lambda data: bundles.reindexed(data, tiles=[1, 2]), "no strings"),
    "tiles that are no CIDs": (lambda data: bundles.reindexed(data, tiles=["a", "b"]), "is not a CID"),
    "a tile more": (
        lambda data: bundles.reindexed(data, tiles=[*bundles.index(data)["tiles"], str(bundles.root(data))]),
        "published files",
    ),
    "notes in another order": (
        lambda data: bundles.reindexed(data, notes=bundles.index(data)["notes"][::-1]),
        "a note of",
    ),
    "a note twice": (lambda data: bundles.reindexed(data, notes=bundles.index(data)["notes"][:1] * 2), "a note of"),
    "its own note again": (
        lambda data: bundles.reindexed(data, notes=[*bundles.index(data)["notes"], bundles.index(data)["checkpoint"]]),
        "a note of",
    ),
    "a note that is none": (lambda data: bundles.reindexed(data, notes=["\n"]), ""),
    "a promise of 2^53 entries": (lambda data: _resigned(data, 2**53 - 1), "published files"),
    "a promise of fewer entries": (lambda data: _resigned(data, 5), "a note of"),
    "signed by another": (lambda data: _resigned(data, len(bundles.leaves(data))), "no signature"),
    "nested deep": (lambda data: bundles.reindexed(data, notes=json.loads("[" * 90 + "]" * 90)), "levels"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_bundle_is_refused_in_a_sentence(whole: Path, tmp_path: Path, name: str) -> None:
    """Whatever was left out, added or promised: exit 1, one line, no traceback, nothing written."""
    change, said = HOSTILE[name]
    path = tmp_path / "hostile.car"
    path.write_bytes(change(whole.read_bytes()))
    assert path.read_bytes() != whole.read_bytes()
    done = testing.CliRunner().invoke(cli.cli, ["audit", str(path), "--no-memory"])
    assert (done.exit_code, said in done.stderr, done.stderr.count("\n")) == (1, True, 1), done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["hostile.car"]


def test_a_stray_block_is_not_remembered_as_a_run_that_was_accepted(whole: Path, tmp_path: Path) -> None:
    """What an auditor remembers is what nothing spoke against."""
    path = tmp_path / "stray.car"
    path.write_bytes(_with(whole.read_bytes(), b"a stray"))
    invoke("audit", path, "--memory", tmp_path / "memory", code=1)
    assert not (tmp_path / "memory").exists()
    assert "first seen" in invoke("audit", whole, "--memory", tmp_path / "memory")


def test_a_difference_is_the_same_in_its_bundle(finished: Path, tmp_path: Path) -> None:
    """Evidence: of a run that does not audit, what was read becomes a bundle in which anybody finds the same difference."""

    def cheat(said: statements.Predicate) -> statements.Predicate:
        if not isinstance(said, statements.CreditTransfer):
            return said
        (issued, pool), (first, low), *others, (last, high) = said.postings
        return dataclasses.replace(said, postings=((issued, pool), (first, low + 1), *others, (last, high - 1)))

    test_replay.rewrite(finished, cheat)
    path = tmp_path / "evidence.car"
    said = invoke("audit", finished, "--no-memory", "--export", path, code=1)
    assert "round 1: credit says postings" in said
    assert f"{path} holds what was read, in which an audit finds a difference too" in said
    again = invoke("audit", path, "--no-memory", code=1)
    assert said.startswith(again.removesuffix("\n"))
    assert "difference" in json.loads(testing.CliRunner().invoke(cli.cli, ["audit", str(path), "--json"]).stdout)


def test_what_stands_in_the_way_is_told_before_the_work(root: Path, whole: Path, tmp_path: Path) -> None:
    """A file that is there, a folder, no folder; with --force a file is replaced, at once or not at all."""
    path = tmp_path / "run.car"
    path.write_bytes(b"mine")
    assert "exists: choose" in invoke("audit", root, "--no-memory", "--export", path, code=2)
    assert "no regular file" in invoke("audit", root, "--no-memory", "--export", tmp_path, "--force", code=2)
    assert "no folder" in invoke("audit", root, "--no-memory", "--export", tmp_path / "no" / "run.car", code=2)
    assert "--force belongs" in invoke("audit", root, "--force", code=2)
    assert path.read_bytes() == b"mine"
    invoke("audit", root, "--no-memory", "--export", path, "--force")
    assert path.read_bytes() == whole.read_bytes()
    assert "expected a run folder" in invoke("audit", tmp_path / "nothing.car", code=2)
    assert [each.name for each in tmp_path.iterdir()] == ["run.car"]


def test_who_is_stopped_while_it_is_written_leaves_what_was_there(root: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle: no part of a file is left, and the old one is as it was."""
    path = tmp_path / "run.car"
    path.write_bytes(b"mine")

    def stop(said: str) -> None:
        if said.startswith("writing block"):
            raise KeyboardInterrupt

    what = subject.Exported(place=folder.RunFolder(root=root), path=path, replace=True, told=stop)
    with pytest.raises(KeyboardInterrupt):
        replay.Replay(what, lambda *_: None).audit()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("run.car", b"mine")]


def test_a_file_that_comes_meanwhile_is_not_replaced(root: Path, tmp_path: Path) -> None:
    """Looked for at the beginning and at the end."""
    path = tmp_path / "run.car"

    def come(said: str) -> None:
        if said.startswith("writing block 0 "):
            path.write_bytes(b"theirs")

    what = subject.Exported(place=folder.RunFolder(root=root), path=path, replace=False, told=come)
    with pytest.raises(errors.FolderError, match="exists"):
        replay.Replay(what, lambda *_: None).audit()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("run.car", b"theirs")]


def test_of_undisclosed_rounds_it_holds_what_may_yet_be_opened(tmp_path: Path, execute: Execute) -> None:
    """With `none` and a window of one round: no identity, and the ciphertexts of no round whose identity is gone."""
    where, path = tmp_path / "run", tmp_path / "run.car"
    execute(where, "disclosure=none", "rounds=3", "audit_window=1")
    said = steady(invoke("audit", where, "--no-memory", "--json", "--export", path))
    assert steady(invoke("audit", path, "--no-memory", "--json")) == said
    assert said["destroyed"] == "1-3"
    assert not [each for each in bundles.parts(path.read_bytes()) if each.kind in ("identity", "ciphertext")]


def test_entries_after_the_checkpoint_are_left_out(finished: Path, tmp_path: Path) -> None:
    """Nobody vouches for them yet: the bundle is that of the published checkpoint."""
    where, path = folder.RunFolder(root=finished), tmp_path / "run.car"
    before = tmp_path / "before.car"
    exported(where, before)
    with test_replay.journal.Journal(where.ledger, where.coordinator_key()) as record:
        run, name = record.history.run or "", "holder-09"
        said = statements.MemberRevoke(author="coordinator", run=run, member=name, reason="left")
        record.append(*record.sign(said))
        assert exported(where, path).unsigned == 1
        assert path.read_bytes() == before.read_bytes()
        assert bundles.audit(path).unsigned == 0
        # Stopped between the signature and the file: the log has a note beyond the one that is published.
        published_before = where.checkpoint.read_bytes()
        record.publish()
        where.checkpoint.write_bytes(published_before)
    exported(where, path, replace=True)
    assert path.read_bytes() == before.read_bytes()


@pytest.mark.parametrize("size", [1, 255, 256, 257, 600])
def test_every_file_of_a_log_is_there_and_needed(tmp_path: Path, size: int) -> None:
    """Of logs of one tile and of several levels: what is published, byte for byte, and a walk asks for all of it."""
    path = tmp_path / "log.car"
    with published.make(tmp_path / "log.db", (size,)) as record:
        noted = reading.Noted(lambda name, limit: b"")
        wanted = bundling.Contents(record=record, published=record.last_note(), notes={}, noted=noted)
        path.write_bytes(b"".join(bundling.encode(wanted)))
        publication.publish(record, tmp_path / "served")
        files = {tile.path: tile for tile in tiles.files(size)}
        assert published.files(tmp_path / "served").keys() == {"checkpoint", *files}
        with bundle.opened(path) as found:
            assert [entry.leaf for entry in found.record.entries()] == [entry.leaf for entry in record.entries()]
            found.finish()
            held = dict(zip(files, bundles.index(path.read_bytes())["tiles"], strict=True))
            for name, link in held.items():
                assert (tmp_path / "served" / name).read_bytes() == found.store.get(link, limit=1 << 24)


def test_the_commands_that_read_a_log_read_a_bundle(root: Path, whole: Path, tmp_path: Path) -> None:
    """Verify, show, prove, key, export: as of its checkpoint; and they refuse a damaged one."""
    here, there = (json.loads(invoke("ledger", "verify", each, "--json", "--no-memory")) for each in (root, whole))
    assert [here[name] for name in ("head", "root", "run")] == [there[name] for name in ("head", "root", "run")]
    for command in (("show",), ("key",), ("export", "--format", "postings")):
        assert invoke("ledger", command[0], whole, *command[1:]) == invoke("ledger", command[0], root, *command[1:])
    bad = tmp_path / "bad.car"
    bad.write_bytes(whole.read_bytes()[:-1])
    assert "no whole bundle" in invoke("ledger", "verify", bad, code=1)


def test_ledger_verify_checks_every_note_of_a_bundle(root: Path, whole: Path, tmp_path: Path) -> None:
    """As of a run folder: the count is the same, and one that another signed, or that promises another root, is refused."""
    here, there = (json.loads(invoke("ledger", "verify", each, "--json", "--no-memory")) for each in (root, whole))
    assert here["notes"] == there["notes"] == 4
    data, path = whole.read_bytes(), tmp_path / "notes.car"
    first, *rest = bundles.index(data)["notes"]
    promise = bundle.claimed(first.encode())
    own = folder.RunFolder(root=root).coordinator_key()
    forged = checkpoint.sign(promise, keys.SigningKey.generate())
    forked = checkpoint.sign(dataclasses.replace(promise, root=bytes(32)), own)
    for note in (forged, forked):
        path.write_bytes(bundles.reindexed(data, notes=[note.decode(), *rest]))
        invoke("ledger", "verify", path, "--no-memory", code=1)
        invoke("audit", path, "--no-memory", code=1)


def test_what_no_bundle_replaces(root: Path, whole: Path, tmp_path: Path) -> None:
    """Pipes, devices and links are no files, with --force neither; nor is anything inside of the run folder a place for one."""
    pipe, link, run = tmp_path / "pipe", tmp_path / "link", tmp_path / "run"
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "target")
    (tmp_path / "target").write_bytes(b"mine")
    shutil.copytree(root, run)
    (tmp_path / "way").symlink_to(run)
    before = (run / "ledger.sqlite").read_bytes()
    for path in (pipe, link):
        assert "no regular file" in invoke("audit", root, "--no-memory", "--export", path, "--force", code=2)
        arguments = ("holder-00", whole, "--out", path, "--force")
        assert "no regular file" in invoke("ledger", "statement", *arguments, code=2)
        arguments = (whole, "--format", "postings", "--out", path, "--force")
        assert "no regular file" in invoke("ledger", "export", *arguments, code=2)
    for path in (run / "ledger.sqlite", run / "new.car", tmp_path / "way" / "blocks" / "new.car"):
        assert "inside of the run folder" in invoke("audit", run, "--no-memory", "--export", path, "--force", code=2)
    assert pipe.is_fifo()
    assert (link.is_symlink(), (tmp_path / "target").read_bytes()) == (True, b"mine")
    assert (run / "ledger.sqlite").read_bytes() == before


def test_what_is_no_place_is_refused_in_a_sentence(root: Path, tmp_path: Path) -> None:
    """Nothing there, a pipe: what an audit takes is said; an account from a pipe is not waited for; odd bytes are no URL."""
    pipe, run = tmp_path / "pipe", tmp_path / "run"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path / "nothing.car"):
        said = invoke("audit", path, code=2)
        assert "expected a run folder, a bundle or the URL of a run's service" in said
    assert "no regular file" in invoke("ledger", "check-account", pipe, "--key", "any", code=2)
    shutil.copytree(root, run)
    for name in ("ledger.url", "store.api", "store.gateways"):
        (run / name).write_bytes(b"\xff\xfe")
        said = invoke("audit", run, "--no-memory", code=2)
        assert (name in said, "UTF-8" in said) == (True, True)
        (run / name).unlink()
    (run / "ledger.url").write_bytes(b"\xff\xfe")
    for command in (("ledger", "verify"), ("ledger", "fsck")):
        assert "UTF-8" in invoke(*command, run, code=2)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_chaos(tmp_path: Path, execute: Execute, capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle of thirty rounds: its size and the time of its audit; 600 altered bytes and 120 packed again are all refused."""
    root, path = tmp_path / "run", tmp_path / "run.car"
    execute(root, "rounds=30", "task.epochs=2")
    start = time.process_time()
    report = exported(folder.RunFolder(root=root), path)
    wrote, start = time.process_time() - start, time.process_time()
    again = bundles.audit(path)
    audited, start = time.process_time() - start, time.process_time()
    assert dataclasses.replace(again, seconds=0.0) == dataclasses.replace(report, seconds=0.0)
    data, draw = path.read_bytes(), random.Random(30)
    positions = bundles.positions(data, 600, seed=30)
    assert len(list(damaged(path, positions, lambda: draw.randrange(1, 256)))) == 600
    refused = time.process_time() - start
    packed = [each for each in bundles.positions(data, 172, seed=31) if each[0] not in bundles.KINDS[:3]]
    for kind, position in packed:
        path.write_bytes(bundles.altered(data, position, 1 << position % 8))
        assert difference(path), f"{kind} at {position}"
    with capsys.disabled():
        print(f"\n{report.rounds} rounds, {report.checked['entries']} entries, {len(bundles.blocks(data))} blocks")
        print(f"{len(data):,} bytes; CPU seconds: {wrote:.1f} to audit and write it, {audited:.1f} to audit it")
        print(f"refused: {len(positions)} of {len(positions)} altered, {refused / len(positions):.3f} CPU seconds each")
        print(f"refused: {len(packed)} of {len(packed)} altered and packed again")
