"""The log as readers of published files see it."""

import hashlib
import tracemalloc

import pytest

from ledger import checkpoint, errors, leaf, log, merkle, publication, source, tiled, tiles
from tests.ledger import published


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A log of 600 entries, and the folder where it is published."""
    path = tmp_path_factory.mktemp("grown")
    with published.make(path / "log.db", (100, 300, 600)) as record:
        publication.publish(record, path / "served")
        yield record, path / "served"


class Served:
    """Published files in memory, with the paths that were asked for."""

    def __init__(self, folder):
        self.files = published.files(folder)
        self.asked = []

    def __call__(self, path, limit):
        self.asked.append(path)
        data = self.files.get(path)
        if data is not None and len(data) > limit:
            raise errors.LogError(f"{path} has {len(data)} bytes")
        return data

    def open(self):
        return tiled.TiledLog.open(self, published.VERIFY)


@pytest.fixture
def served(grown):
    return Served(grown[1])


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 300, 511, 512, 600])
def test_a_reader_has_what_the_log_has(tmp_path, size):
    """Entries, root, head and proofs at sizes around every border are those of the database."""
    with published.make(tmp_path / "log.db", (size,)) as record:
        publication.publish(record, tmp_path / "served")
        reader = published.read(tmp_path / "served")
        published.agrees(reader, record)
        assert reader.head == record.head
        assert (reader.size, reader.checkpoint.size) == (size, size)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 0), (0, 1), (255, 257), (256, 256), (300, 599), (599, 600), (599, 900), (700, None)]
)
def test_a_range_is_the_log_s_range(grown, served, start, stop):
    """Any range, also over the end, is what the database gives for it."""
    assert list(served.open().entries(start, stop)) == list(grown[0].entries(start, stop))


def test_only_what_is_needed_is_fetched(served):
    """Ten entries cost the edge, their bundle and their tile; a proof of inclusion two tiles more at most."""
    reader = served.open()
    assert served.asked == ["checkpoint", "tile/0/002.p/88", "tile/1/000.p/2"]
    served.asked.clear()
    assert [entry.seq for entry in reader.entries(300, 310)] == [*range(300, 310)]
    assert served.asked == ["tile/0/001", "tile/entries/001"]
    served.asked.clear()
    reader.inclusion(10)
    assert served.asked == ["tile/0/000"]


def test_partial_files_may_go(served):
    """An older checkpoint is still read when its partial files were removed because the full ones are there."""
    with_full = dict(served.files)
    older = [name for name in with_full if ".p/" in name]
    assert older
    for name in older:
        del served.files[name]
    with pytest.raises(errors.CorruptError, match="missing"):
        served.open()


def test_a_reader_of_an_older_checkpoint_reads_on(tmp_path):
    """Between the reader's checkpoint and its next file the log was published again: it takes the full tiles' beginnings."""
    with published.make(tmp_path / "log.db", (300,)) as record:
        publication.publish(record, tmp_path / "served")
        older = published.read(tmp_path / "served")
        note = record.last_note()
        published.grow(record, 600)
        publication.publish(record, tmp_path / "served")
        assert not (tmp_path / "served/tile/0/001.p").exists()
        published.agrees(older, record)
        files = source.folder(tmp_path / "served")
        fetch = lambda path, limit: note if path == "checkpoint" else files(path, limit)  # noqa: E731
        published.agrees(tiled.TiledLog.open(fetch, published.VERIFY), record)


def test_growth_is_provable(tmp_path):
    """Who accepted 300 entries proves from the files alone that the log of 600 goes on from there; a rewrite cannot."""
    with published.make(tmp_path / "log.db", (300, 600)) as record:
        publication.publish(record, tmp_path / "served")
        reader = published.read(tmp_path / "served")
        old = published.VERIFY(record.note(300))
    merkle.verify_consistency(300, 600, old.root, reader.checkpoint.root, reader.consistency(300))
    with pytest.raises(errors.ProofError):
        merkle.verify_consistency(300, 600, bytes(32), reader.checkpoint.root, reader.consistency(300))
    for wrong in (601, -1):
        with pytest.raises(errors.ProofError):
            reader.consistency(wrong)
        with pytest.raises(errors.ProofError):
            reader.root(wrong)
        with pytest.raises(errors.ProofError):
            reader.inclusion(wrong)
    with pytest.raises(errors.ProofError):
        reader.node(1, 300)


def test_no_byte_can_change(served):
    """A changed, missing, shorter or longer file: refused before any entry of it is handed on (attack 41)."""
    sound = dict(served.files)
    whole = list(served.open().entries())
    needed, most = sorted(set(served.asked)), 0
    assert len(needed) == 8
    for name in needed:
        data = sound[name]
        for at in {0, len(data) // 2, len(data) - 1, 40 % len(data)}:
            changes = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], data[:at], data + data[at:], None]
            for spoiled in changes:
                served.files = {**sound, name: spoiled}
                read = []
                with pytest.raises((errors.LogError, errors.StatementError, errors.SignatureError)):
                    read.extend(served.open().entries())
                assert read == whole[: len(read)]
                most = max(most, len(read))
                if "tile/" in name and "entries" not in name:
                    first = tiles.Tile.parse(name).index * 256 if "tile/0" in name else 0
                    assert len(read) <= first
    assert most == 512


def test_tiles_that_agree_with_a_lie_are_refused(grown, served):
    """A leaf, its bundle and its tile changed together still meet the tile above; at the edge they meet the root."""
    for bundle, tile in (("tile/entries/000", "tile/0/000"), ("tile/entries/002.p/88", "tile/0/002.p/88")):
        forged = Served(grown[1])
        width = tiles.Tile.parse(tile).width
        leaves = tiles.unbundle(forged.files[bundle], width)
        leaves[5] = leaves[5].replace(b'"v":1', b'"v":2')
        forged.files[bundle] = tiles.bundle(leaves)
        forged.files[tile] = b"".join(map(merkle.leaf_hash, leaves))
        with pytest.raises(errors.CorruptError, match=r"root|hashes to"):
            list(forged.open().entries())
    assert len(list(served.open().entries())) == 600


def _forge(size, change):
    """Files of a log whose leaves `change` has touched, under a root and note that agree with them."""
    prev, leaves = leaf.NO_HEAD, []
    for seq in range(size):
        data = change(seq, leaf.Entry.chain(seq, prev, published._ENVELOPES[seq]).leaf)
        leaves.append(data)
        prev = merkle.leaf_hash(data).hex()
    hashes = [merkle.leaf_hash(data) for data in leaves]
    promise = checkpoint.LogCheckpoint(origin=published.ORIGIN, size=size, root=merkle.root(size, merkle.over(hashes)))
    files = {"checkpoint": checkpoint.sign(promise, published.KEY), f"tile/entries/000.p/{size}": tiles.bundle(leaves)}
    files[f"tile/0/000.p/{size}"] = b"".join(hashes)
    return lambda path, _: files.get(path)


def test_a_chain_that_a_signed_root_covers_is_still_checked(grown):
    """An operator signs a tree whose entry 7 names another leaf before it: refused at 7, for chain and tree must agree."""
    fetch = _forge(
        10, lambda seq, data: data if seq != 7 else data.replace(b'"prev":"', b'"prev":"0')[:-20] + data[-19:]
    )
    reader = tiled.TiledLog.open(fetch, published.VERIFY)
    with pytest.raises(errors.CorruptError) as caught:
        list(reader.entries())
    assert caught.value.seq == 7
    sound = tiled.TiledLog.open(_forge(10, lambda _, data: data), published.VERIFY)
    assert len(list(sound.entries())) == 10


def test_no_log_is_no_log(grown):
    """Nothing published, another log's name, another key: refused before any tile is fetched."""
    with pytest.raises(errors.CorruptError, match="no log is published"):
        tiled.TiledLog.open(lambda *_: None, published.VERIFY)
    served = Served(grown[1])
    with pytest.raises(errors.SignatureError):
        tiled.TiledLog.open(served, lambda data: published.VERIFY(data, origin="other"))
    assert served.asked == ["checkpoint"]


def test_three_levels_of_tiles():
    """In a log of 66,000 leaves, nodes, roots and proofs through tiles of level 2 are those of the tree."""
    hashes = [hashlib.sha256(b"%d" % n).digest() for n in range(66_000)]
    edge, files = tiles.Edge(0, []), {}
    for each in hashes:
        files |= {tile.path: data for tile, data in edge.append(each)}
    files |= {tile.path: data for tile, data in edge.partial()}
    promise = checkpoint.LogCheckpoint(origin=published.ORIGIN, size=66_000, root=edge.root())
    files["checkpoint"] = checkpoint.sign(promise, published.KEY)
    reader = tiled.TiledLog.open(lambda path, _: files.get(path), published.VERIFY)
    node = merkle.over(hashes)
    for index in (0, 255, 65_535, 65_536, 65_999):
        assert reader.inclusion(index) == merkle.inclusion_proof(index, 66_000, node)
    for old in (1, 256, 65_536, 65_537):
        assert reader.consistency(old) == merkle.consistency_proof(old, 66_000, node)
    files["tile/0/100"] = files["tile/0/101"]
    with pytest.raises(errors.CorruptError, match="tile/0/100"):
        reader.inclusion(25_601)


def test_memory_does_not_grow_with_the_log(grown):
    """One bundle at a time: a walk over three bundles takes no more memory than one over the first."""
    peaks = []
    for stop in (256, 600):
        reader = published.read(grown[1])
        tracemalloc.start()
        for _ in reader.entries(0, stop):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_the_log_itself_is_not_needed(grown, tmp_path, monkeypatch):
    """Nothing of the database is opened: the reader works where there is none."""
    monkeypatch.delattr(log, "Log")
    assert len(list(published.read(grown[1]).entries())) == 600
