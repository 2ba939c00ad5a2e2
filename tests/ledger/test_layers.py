"""The layered mapping: a dict to whoever reads it, and never changed by whoever adds to it."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ledger import layers


@given(st.lists(st.tuples(st.integers(0, 40), st.integers())))
def test_it_is_the_dict_of_what_was_put_in_and_each_earlier_one_stays_as_it_was(puts: list[tuple[int, int]]) -> None:
    """Values, order, length and membership, after every addition."""
    known: layers.Layers[int, int] = layers.Layers()
    plain: dict[int, int] = {}
    seen = []
    for key, value in puts:
        known, plain = known.having(key, value), {**plain, key: value}
        seen.append((known, plain))
    for ours, theirs in seen:
        assert list(ours.items()) == list(theirs.items())
        assert len(ours) == len(theirs)
        assert all((key in ours) == (key in theirs) for key in range(41))


def test_what_it_begins_with_is_copied() -> None:
    """Whoever made it may go on with its own."""
    own = {1: 2}
    known = layers.Layers(own)
    own[1] = 3
    assert known[1] == 2
    assert layers.Layers(own).get(5) is None


def test_fifty_thousand_keys_are_put_in_without_a_copy_of_all_for_each() -> None:
    """The layers of a mapping are few, each more than twice the one above; and one more key copies few of them."""
    known: layers.Layers[int, None] = layers.Layers()
    for key in range(50_000):
        known = known.having(key, None)
    sizes = [len(layer) for layer in known._layers]
    assert len(sizes) < 17
    assert all(below > 2 * above for above, below in itertools.pairwise(sizes))
