"""Files as trees: the CIDs of IPFS, and no other tree for the same bytes."""

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import cid, errors, nodes, unixfs

MIB = 1 << 20
# From ipfs-unixfs-importer (JavaScript) 17, chunks of 1 MiB, width 1024, raw leaves: byte i of the file is i mod 251 ...
PATTERNS = {
    0: "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    1: "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu",
    MIB: "bafkreidddocae7lltzjlkooe5a3tmiwsgazn7logjvqk7bzttsidpzhxne",
    MIB + 1: "bafybeidjogjfwuhbzwopgd4bn3skcf5m6oz72xshywcndzxgqb623nfclu",
    3 * MIB: "bafybeihzpjrbcpjpzcx4yxh3hasnjidsikmwmsrli7hhamhny5iueulu5a",
    7_000_000: "bafybeidfq6btcbxdcsj3flys5zdq4syxlgxvs3u52jshbblunal6wcoofq",
}
# ... or zero.
ZEROS_1024_LEAVES = "bafybeibqawkaltgjfdebq4no6nmfcvkcw7k52xqzclkwfmrkn6oxw7srmy"
ZEROS_1024_LEAVES_AND_A_BYTE = "bafybeigx4uyebjbq65346xh6cjrt6yshbdudzudhnqecwbzvymslxj7gje"


def pattern(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def leaf(size: int) -> nodes.Link:
    return nodes.Link(cid=cid.Cid(codec=cid.RAW, digest=bytes(32)), size=size, total=size)


def node(size: int, total: int, name: cid.Cid | None = None) -> nodes.Link:
    return nodes.Link(cid=name or cid.Cid(codec=cid.DAG_PB, digest=bytes(32)), size=size, total=total)


def nothing(_name: cid.Cid) -> bytes:
    raise AssertionError("no node should be fetched")


@pytest.mark.parametrize(("size", "expected"), PATTERNS.items())
def test_names_are_those_of_another_implementation(size: int, expected: str) -> None:
    """Files below, at and above the border of a leaf get the CIDs that IPFS gives them, from memory and from a file."""
    blocks: dict[cid.Cid, bytes] = {}
    root = unixfs.build(io.BytesIO(pattern(size)), blocks.__setitem__)
    assert (str(root.cid), root.size) == (expected, size)
    assert unixfs.of(pattern(size)) == root.cid
    assert all(cid.Cid.of_block(name.codec, block) == name for name, block in blocks.items())


def test_a_second_level_is_laid_out_as_another_implementation_does() -> None:
    """1,024 leaves fill a node; one leaf more makes a second level, with a node that has a single child."""
    full = itertools.repeat(bytes(MIB), 1024)
    assert str(unixfs.assemble(full, lambda *_: None).cid) == ZEROS_1024_LEAVES
    blocks: dict[cid.Cid, bytes] = {}
    more = itertools.chain(itertools.repeat(bytes(MIB), 1024), [b"\0"])
    root = unixfs.assemble(more, blocks.__setitem__)
    assert (str(root.cid), root.size) == (ZEROS_1024_LEAVES_AND_A_BYTE, 1024 * MIB + 1)
    found = list(unixfs.leaves(nodes.links(blocks[root.cid]), blocks.__getitem__))
    assert [link.size for link in found] == [MIB] * 1024 + [1]
    assert max(len(block) for name, block in blocks.items() if name.codec == cid.DAG_PB) <= unixfs.MAX_NODE


@given(st.integers(0, 4), st.sampled_from([0, 1, 1000, MIB - 1]))
def test_children_come_before_their_parents(full: int, rest: int) -> None:
    """Blocks are handed on leaves first, the root last, and the leaves in order are the file."""
    data, order = pattern(full * MIB + rest), []
    blocks: dict[cid.Cid, bytes] = {}

    def put(name: cid.Cid, block: bytes | memoryview) -> None:
        order.append(name)
        blocks[name] = bytes(block)

    root = unixfs.build(io.BytesIO(data), put)
    assert order[-1] == root.cid
    if root.cid.codec == cid.RAW:
        assert blocks[root.cid] == data
        return
    assert {name.codec for name in order[:-1]} == {cid.RAW}
    links = nodes.links(blocks[root.cid])
    assert b"".join(blocks[link.cid] for link in unixfs.leaves(links, nothing)) == data


@pytest.mark.parametrize(
    "children",
    [
        [],
        [leaf(0)],
        [leaf(5)],
        [leaf(MIB)],
        [leaf(5), leaf(5)],
        [leaf(5), leaf(MIB)],
        [leaf(MIB), leaf(0), leaf(5)],
        [leaf(MIB), leaf(5), leaf(0)],
        [leaf(MIB), leaf(MIB + 1)],
        [leaf(1)] * 1024,
        [leaf(0)] * 1024,
        [leaf(MIB)] * 1025,
        [leaf(MIB), node(5, 5)],
        [leaf(MIB), nodes.Link(cid=leaf(5).cid, size=5, total=6)],
        [node(1024 * MIB, 1 << 40), leaf(5)],
        [node(1 << 62, 1 << 62)],
        [node(1024 * MIB, 1 << 40), node(0, 0)],
    ],
)
def test_other_layouts_are_refused(children: list[nodes.Link]) -> None:
    """12, 32: a tree with empty, short or too many children, of uneven depth or for one leaf only, is refused at once."""
    with pytest.raises(errors.BlockCorruptError):
        list(unixfs.leaves(children, nothing))


def below(root_size: int, root_total: int, children: list[nodes.Link]) -> None:
    """Walk a two-level tree whose second node has these children and, in the root, this size and total."""
    full = nodes.encode([leaf(MIB)] * 1024)
    first = node(1024 * MIB, len(full) + 1024 * MIB, cid.Cid.of_block(cid.DAG_PB, full))
    last = nodes.encode(children)
    second = node(root_size, root_total, cid.Cid.of_block(cid.DAG_PB, last))
    blocks = {first.cid: full, second.cid: last}
    assert len(list(unixfs.leaves([first, second], blocks.__getitem__))) == 1024 + len(children)


def test_sizes_that_lie_about_a_node_below_are_refused() -> None:
    """12: what the root says of a child, its size in the file and in blocks, must be what the child says, both ways."""
    honest = len(nodes.encode([leaf(7)])) + 7
    below(7, honest, [leaf(7)])
    for size, total in ((6, honest), (8, honest), (7, honest - 1), (7, honest + 1)):
        with pytest.raises(errors.BlockCorruptError, match="its parent says"):
            below(size, total, [leaf(7)])


def test_a_node_that_names_itself_over_and_over_is_refused() -> None:
    """32: a small tree that claims to be an endless file is refused where its depth does not fit, not walked."""
    inner = nodes.encode([leaf(MIB)] * 1024)
    size, total = 1024 * MIB, len(inner) + 1024 * MIB
    name = cid.Cid.of_block(cid.DAG_PB, inner)
    fetched = []

    def fetch(wanted: cid.Cid) -> bytes:
        fetched.append(wanted)
        return inner

    outer = [node(1024 * size, total, name)] * 1024
    with pytest.raises(errors.BlockCorruptError):
        list(unixfs.leaves(outer, fetch))
    assert len(fetched) == 1
