"""Tiles: paths, bundles, and the edge of a growing tree."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import errors, merkle, tiles

LEAVES = [hashlib.sha256(b"%d" % n).digest() for n in range(66_000)]


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (1, 999, 256, "tile/1/999"),
        (3, 1234067, 8, "tile/3/x001/x234/067.p/8"),
        (63, 1000, 255, "tile/63/x001/000.p/255"),
        (None, 1234067, 256, "tile/entries/x001/x234/067"),
        (None, 5, 1, "tile/entries/005.p/1"),
    ],
)
def test_the_paths(level, index, width, path):
    """Three digits a group, all but the last after an x; a suffix on partial tiles alone (C2SP tlog-tiles' example)."""
    tile = tiles.Tile(level=level, index=index, width=width)
    assert tile.path == path
    assert tiles.Tile.parse(path) == tile


@given(st.none() | st.integers(0, 63), st.integers(0, 2**53), st.integers(1, 256))
def test_a_tile_survives_its_path(level, index, width):
    """parse(t.path) == t."""
    tile = tiles.Tile(level=level, index=index, width=width)
    assert tiles.Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001/x002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/../000",
        "tile/0/\u0661\u0661\u0661",
        "tile/0/000\n",
        "checkpoint",
    ],
)
def test_a_path_has_one_form(path):
    """Other levels, groups, digits, widths or spellings name no file."""
    with pytest.raises(errors.StatementError):
        tiles.Tile.parse(path)


def test_the_partial_tiles_of_the_specification():
    """A log of 70,000 has a partial tile of 112, of 17 and of 1; one of 256 a single hash at level 1; an empty one none."""
    assert [tile.path for tile in tiles.partial(70_000)] == ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
    assert [tile.path for tile in tiles.partial(256)] == ["tile/1/000.p/1"]
    assert tiles.partial(0) == []
    assert [tiles.width(70_000, 0, index) for index in (0, 272, 273, 274)] == [256, 256, 112, 0]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_holds_its_leaves(leaves):
    """unbundle(bundle(l)) == l, under the right number alone, and nothing may be missing or follow."""
    data = tiles.bundle(leaves)
    assert tiles.unbundle(data, len(leaves)) == leaves
    wrong = [(data, len(leaves) + 1), (data + b"\x00", len(leaves))]
    if leaves:
        wrong += [(data, len(leaves) - 1), (data[:-1], len(leaves))]
    for spoiled, width in wrong:
        with pytest.raises(errors.CorruptError):
            tiles.unbundle(spoiled, width)


def test_the_bytes_of_a_bundle():
    """Each leaf after its length in two bytes, the high one first; 65,535 is the longest."""
    assert tiles.bundle([b"", b"ab", b"c" * 258]) == b"\x00\x00" + b"\x00\x02ab" + b"\x01\x02" + b"c" * 258
    assert tiles.bundle([bytes(65_535)])[:2] == b"\xff\xff"


def test_a_tile_has_its_length():
    """32 bytes a hash, no fewer and no more."""
    assert tiles.split(b"".join(LEAVES[:3]), 3) == LEAVES[:3]
    for data, width in ((b"".join(LEAVES[:3]), 2), (b"".join(LEAVES[:3])[:-1], 3), (b"", 1)):
        with pytest.raises(errors.CorruptError):
            tiles.split(data, width)


def test_the_edge_has_the_root_of_the_tree():
    """At sizes around every border up to three levels of tiles, the edge's root is the tree's, after RFC 6962."""
    edge, frontier, checked = tiles.Edge(0, []), merkle.Frontier(), 0
    for leaf in LEAVES:
        edge.append(leaf)
        frontier.append(leaf)
        if edge.size % 256 in (0, 1, 255) or edge.size < 300:
            assert edge.root() == frontier.root()
            checked += 1
    assert checked > 1_000


def test_the_edge_fills_the_tiles_of_the_specification():
    """Each hash of a tile of level l is the root over its 256^l leaves; a full tile is given once, a partial one never."""
    edge, filled = tiles.Edge(0, []), {}
    for leaf in LEAVES:
        for tile, data in edge.append(leaf):
            assert tile.path not in filled
            filled[tile.path] = data
    assert len(filled) == 257 + 1
    partial = {tile.path: data for tile, data in edge.partial()}
    assert partial.keys() == {"tile/0/257.p/208", "tile/1/001.p/1", "tile/2/000.p/1"}
    node = merkle.over(LEAVES)
    for path, data in (filled | partial).items():
        tile = tiles.Tile.parse(path)
        hashes = tiles.split(data, tile.width)
        assert hashes == [node(8 * tile.level, tile.index * 256 + place) for place in range(tile.width)]


@given(st.integers(0, 2_000), st.integers(0, 600))
def test_an_edge_goes_on_from_its_partial_tiles(before, more):
    """What a publisher reads back from a folder continues the very tree."""
    edge = tiles.Edge(0, [])
    for leaf in LEAVES[:before]:
        edge.append(leaf)
    rows = [[] for _ in range(3)]
    for tile, data in edge.partial():
        rows[tile.level] = tiles.split(data, tile.width)
    resumed = tiles.Edge(before, rows)
    for leaf in LEAVES[before : before + more]:
        assert edge.append(leaf) == resumed.append(leaf)
    assert (edge.root(), edge.partial()) == (resumed.root(), resumed.partial())
