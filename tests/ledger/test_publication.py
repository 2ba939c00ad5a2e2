"""A log published as static files."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ledger import errors, log, publication
from tests.ledger import published

SIZES = (100, 255, 256, 300, 600)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A log of 600 entries with five checkpoints."""
    with published.make(tmp_path_factory.mktemp("grown") / "log.db", SIZES) as record:
        yield record


def test_what_is_published_is_the_log(grown, tmp_path):
    """A reader of the files alone has the entries, roots and proofs of the log."""
    promise = publication.publish(grown, tmp_path / "a" / "b")
    assert promise.size == 600
    reader = published.read(tmp_path / "a" / "b")
    published.agrees(reader, grown)
    assert reader.note == grown.last_note() == (tmp_path / "a" / "b" / "checkpoint").read_bytes()


def test_the_files_are_those_of_the_specification(grown, tmp_path):
    """Full tiles and bundles once, and partial ones of those sizes with a checkpoint that have not filled up since."""
    publication.publish(grown, tmp_path)
    partial = {"tile/0/002.p/88", "tile/entries/002.p/88", "tile/1/000.p/1", "tile/1/000.p/2"}
    full = {f"tile/{level}/00{index}" for level in ("0", "entries") for index in (0, 1)}
    assert published.files(tmp_path).keys() == {"checkpoint"} | partial | full


def test_sizes_that_were_never_signed_leave_no_trace(tmp_path):
    """Of a log with one checkpoint, each level has one partial tile at most."""
    with published.make(tmp_path / "log.db", (600,)) as record:
        publication.publish(record, tmp_path / "served")
    found = {name for name in published.files(tmp_path / "served") if ".p/" in name}
    assert found == {"tile/0/002.p/88", "tile/entries/002.p/88", "tile/1/000.p/2"}


def test_the_bytes_do_not_depend_on_the_publisher(tmp_path):
    """Published at each of six sizes, at some, or at once, by one or by several: the same folder in the end."""
    folders = [tmp_path / name for name in ("each", "some", "once")]
    with published.make(tmp_path / "log.db", ()) as record:
        for number, size in enumerate((1, *SIZES)):
            published.grow(record, size)
            publication.publish(record, folders[0])
            if number % 2:
                publication.publish(record, folders[1])
            published.agrees(published.read(folders[0]), record)
        publication.publish(record, folders[2])
    assert published.files(folders[0]) == published.files(folders[1]) == published.files(folders[2])


def test_publishing_again_writes_nothing(grown, tmp_path):
    """Not even the checkpoint is touched when there is nothing new."""
    publication.publish(grown, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    publication.publish(grown, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_each_file_is_written_once(grown, tmp_path, monkeypatch):
    """A log with many checkpoints is published without the partial files that are full by now."""
    named, replace = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: named.append(target) or replace(self, target))
    publication.publish(grown, tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in named) == sorted(published.files(tmp_path))


def test_publishing_reads_what_is_new(tmp_path, monkeypatch):
    """From 600 to 610 entries it reads the log from the last bundle on, and of the folder that and the edge."""
    with published.make(tmp_path / "log.db", (600,)) as record:
        publication.publish(record, tmp_path / "served")
        published.grow(record, 610)
        entries, opened = [], []
        read, opens = log.Log.entries, Path.open
        monkeypatch.setattr(log.Log, "entries", lambda self, *where: entries.append(where) or read(self, *where))
        monkeypatch.setattr(Path, "open", lambda self, *how: opened.append(self.name) or opens(self, *how))
        publication.publish(record, tmp_path / "served")
    assert entries == [(512, 610)]
    assert set(opened) <= {"checkpoint", "88", "98", "2", "publishing.tmp"}


def test_nothing_signed_is_nothing_to_publish(tmp_path):
    """A log without a checkpoint promises nothing."""
    with (
        published.make(tmp_path / "log.db", ()) as record,
        pytest.raises(errors.LogError, match="signed no checkpoint"),
    ):
        publication.publish(record, tmp_path / "served")
    assert not (tmp_path / "served" / "checkpoint").exists()


def test_an_empty_log_can_be_published(tmp_path):
    """It has a checkpoint and no tiles."""
    with published.make(tmp_path / "log.db", (0,)) as record:
        publication.publish(record, tmp_path / "served")
        assert published.files(tmp_path / "served").keys() == {"checkpoint"}
        published.agrees(published.read(tmp_path / "served"), record)


def test_a_cosigned_note_takes_its_place(tmp_path):
    """The same checkpoint with more signatures replaces the note, and no other file changes."""
    with published.make(tmp_path / "log.db", (300,)) as record:
        publication.publish(record, tmp_path / "served")
        before = published.files(tmp_path / "served")
        witness = b"\xe2\x80\x94 witness AAAAAAAA\n"
        record.endorse(record.last_note() + witness)
        publication.publish(record, tmp_path / "served")
        after = published.files(tmp_path / "served")
    assert after.pop("checkpoint") == before.pop("checkpoint") + witness
    assert after == before


def test_a_log_does_not_go_back(tmp_path):
    """A folder that serves 600 entries is not given the checkpoint of 300 (attack 43)."""
    with published.make(tmp_path / "log.db", SIZES) as record:
        publication.publish(record, tmp_path / "served")
    before = published.files(tmp_path / "served")
    with published.make(tmp_path / "old" / "log.db", (100, 300)) as record, pytest.raises(errors.RollbackError):
        publication.publish(record, tmp_path / "served")
    assert published.files(tmp_path / "served") == before


@pytest.mark.parametrize("served", [255, 256, 300])
def test_another_history_is_refused(tmp_path, monkeypatch, served):
    """A log whose entry 10 is another one is not published over the first, however well it is signed (attack 43)."""
    with published.make(tmp_path / "log.db", (served,)) as record:
        publication.publish(record, tmp_path / "served")
    before = published.files(tmp_path / "served")
    other = [*published._ENVELOPES[:10], *published._ENVELOPES[11:]]
    monkeypatch.setattr(published, "_ENVELOPES", other)
    for size in (served, served + 200):
        with published.make(tmp_path / str(size) / "log.db", (size,)) as record, pytest.raises(errors.RollbackError):
            publication.publish(record, tmp_path / "served")
    assert published.files(tmp_path / "served") == before


def test_another_log_is_refused(tmp_path):
    """A folder serves one log: a checkpoint of another origin stays."""
    with published.make(tmp_path / "log.db", (300,)) as record:
        publication.publish(record, tmp_path / "served")
    (tmp_path / "other").mkdir()
    with log.Log.open(tmp_path / "other" / "log.db", origin="other") as record:
        record.append(published._ENVELOPES[:400], head=record.head)
        record.publish(published.KEY)
        with pytest.raises(errors.RollbackError, match="other"):
            publication.publish(record, tmp_path / "served")


@pytest.mark.parametrize("name", ["tile/0/000", "tile/entries/001", "tile/1/000.p/2", "tile/entries/002.p/88"])
def test_a_file_that_never_changes_is_not_replaced(grown, tmp_path, name):
    """Other bytes in its place are damage: named, left as they are, and no checkpoint is written over them."""
    publication.publish(grown, tmp_path / "sound")
    spoiled = bytearray((tmp_path / "sound" / name).read_bytes())
    spoiled[-1] ^= 1
    path = tmp_path / "served" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(spoiled)
    with pytest.raises(errors.CorruptError, match=name):
        publication.publish(grown, tmp_path / "served")
    assert path.read_bytes() == spoiled
    assert not (tmp_path / "served" / "checkpoint").exists()


@pytest.mark.parametrize("name", ["checkpoint", "tile/0/001.p/44", "tile/1/000.p/1"])
@pytest.mark.parametrize("damage", ["flipped", "deleted", "truncated"])
def test_a_damaged_folder_is_not_built_upon(tmp_path, name, damage):
    """What the folder serves must lead to the root that it serves, before anything is added."""
    with published.make(tmp_path / "log.db", (300,)) as record:
        publication.publish(record, tmp_path / "served")
        path = tmp_path / "served" / name
        data = path.read_bytes()
        path.unlink()
        if damage != "deleted":
            path.write_bytes(data[:-40] if damage == "truncated" else bytes([data[0] ^ 1]) + data[1:])
        published.grow(record, 600)
        if (name, damage) == ("checkpoint", "deleted"):
            publication.publish(record, tmp_path / "served")
            published.agrees(published.read(tmp_path / "served"), record)
        else:
            words = {"deleted": "lacks", "truncated": "hashes of 32", "flipped": "holds root"}[damage]
            expected = words if name.startswith("tile") else "checkpoint|serves"
            with pytest.raises((errors.CorruptError, errors.RollbackError), match=expected):
                publication.publish(record, tmp_path / "served")
            assert not (tmp_path / "served/tile/0/002.p").exists()


def test_a_log_that_does_not_lead_to_its_root_is_not_published(tmp_path):
    """A signed note whose root is not that of the entries never reaches the folder's checkpoint."""
    with published.make(tmp_path / "log.db", (300,)) as record:
        sound = record.last_note()
    with published.make(tmp_path / "other" / "log.db", (100,)) as record:
        published.grow(record, 300)
        record.notes = lambda: [(300, sound.replace(b"\n300\n", b"\n299\n"))]
        with pytest.raises(errors.CorruptError, match="leads to root"):
            publication.publish(record, tmp_path / "served")
    assert not (tmp_path / "served" / "checkpoint").exists()


CALLS = ("open", "mkdir", "replace", "rename", "fsync", "unlink", "rmdir")

SWEEP = """
import io, os, pathlib, sys
from ledger import log, publication

database, served, step = map(pathlib.Path, sys.argv[1:4])
calls, step = sys.argv[4].split(","), int(str(step))

def counted(number):
    # In the child: the operation before which it dies.
    done = 0
    def wrap(call):
        def wrapped(*arguments, **options):
            nonlocal done
            done += 1
            if done == number:
                os.kill(os.getpid(), 9)
            return call(*arguments, **options)
        return wrapped
    for name in calls:
        module = io if name == "open" else os
        setattr(module, name, wrap(getattr(module, name)))

number = 1
while True:
    folder = served.with_name(f"killed-{number}")
    child = os.fork()
    if child == 0:
        import shutil
        shutil.copytree(served, folder)
        with log.Log.open(database, origin="folkmoot.test/log", read_only=True) as record:
            counted(number)
            publication.publish(record, folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(number, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, flush=True)
    if status == 0:
        break
    number += step
"""


def test_a_kill_at_any_moment_leaves_a_log(tmp_path):
    """SIGKILL before every file operation: the folder is a log of 300 or of 600 entries, and publishing again ends the same."""
    with published.make(tmp_path / "log.db", (100, 300)) as record:
        publication.publish(record, tmp_path / "before")
        published.grow(record, 600)
        publication.publish(record, tmp_path / "sound")
    command = [sys.executable, "-c", SWEEP, tmp_path / "log.db", tmp_path / "before", "1", ",".join(CALLS)]
    swept = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    outcomes = [line.split() for line in swept.stdout.splitlines()]
    assert len(outcomes) > 40
    assert [signal for _, signal in outcomes] == ["9"] * (len(outcomes) - 1) + ["0"]
    expected, sizes = published.files(tmp_path / "sound"), set()
    with log.Log.open(tmp_path / "log.db", origin=published.ORIGIN) as record:
        for number, _ in outcomes:
            folder = tmp_path / f"killed-{number}"
            reader = published.read(folder)
            published.agrees(reader, record)
            sizes.add(reader.size)
            publication.publish(record, folder)
            found = published.files(folder)
            assert {name: found.get(name) for name in expected} == expected
            published.agrees(published.read(folder), record)
    assert sizes == {300, 600}


@pytest.mark.parametrize("error", [28, 5])
def test_a_refusing_file_system_leaves_a_log(tmp_path, error):
    """ENOSPC or EIO at every file operation: a LogError, a complete log in the folder, and a retry that succeeds (40)."""
    with published.make(tmp_path / "log.db", (100, 300)) as record:
        publication.publish(record, tmp_path / "before")
        published.grow(record, 600)
        publication.publish(record, tmp_path / "sound")
        expected, refused, number, done = published.files(tmp_path / "sound"), 0, 0, False
        while not done:
            number += 1
            folder = tmp_path / f"refused-{number}"
            shutil.copytree(tmp_path / "before", folder)
            with pytest.MonkeyPatch.context() as patch:
                count = _refuse(patch, number, error, folder)
                try:
                    publication.publish(record, folder)
                    done = count() < number
                except errors.LogError:
                    refused += 1
            published.agrees(published.read(folder), record)
            publication.publish(record, folder)
            found = published.files(folder)
            assert {name: found.get(name) for name in expected} == expected
    assert refused > 40


def _refuse(patch, number, error, folder):
    calls = 0

    def wrap(call):
        def wrapped(*arguments, **options):
            nonlocal calls
            # The store has file operations of its own.
            if not isinstance(arguments[0], int) and str(folder) not in str(arguments[0]):
                return call(*arguments, **options)
            calls += 1
            if calls == number:
                raise OSError(error, os.strerror(error))
            return call(*arguments, **options)

        return wrapped

    for name in CALLS:
        module = io if name == "open" else os
        patch.setattr(module, name, wrap(getattr(module, name)))
    return lambda: calls


def test_two_publishers_do_not_mix(grown, tmp_path):
    """The second waits: four at once leave what one leaves."""
    publication.publish(grown, tmp_path / "sound")
    script = (
        "import pathlib, sys\nfrom ledger import log, publication\n"
        "with log.Log.open(pathlib.Path(sys.argv[1]), origin='folkmoot.test/log', read_only=True) as record:\n"
        "    publication.publish(record, pathlib.Path(sys.argv[2]))\n"
    )
    database = grown._published.with_name("log.db")
    started = [subprocess.Popen([sys.executable, "-c", script, database, tmp_path / "served"]) for _ in range(4)]
    assert [process.wait(60) for process in started] == [0] * 4
    assert published.files(tmp_path / "served") == published.files(tmp_path / "sound")
