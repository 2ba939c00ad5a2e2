"""Canonical JSON against RFC 8785."""

import enum
import json

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from ledger import canonical, errors

KEYS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=12)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@given(VALUES)
@example('\x00\b\t\n\f\r\x1f\x7f"\\/\u2028\ue000\U0001f600')
def test_bytes_are_those_of_rfc8785(value):
    """An independent implementation of RFC 8785 writes the same bytes."""
    assert canonical.encode(value) == rfc8785.dumps(value)


@given(VALUES)
def test_a_value_survives(value):
    """decode(encode(x)) == x, of the same types throughout."""
    survivor = canonical.decode(canonical.encode(value))
    assert survivor == value
    assert json.dumps(survivor, sort_keys=True) == json.dumps(value, sort_keys=True)


@given(st.binary(max_size=40) | st.text(alphabet='{}[]":,0129-+.eE\\u \n\tatrufls', max_size=40).map(str.encode))
@example(b'{"b":1,"a":2}')
def test_accepted_bytes_have_one_form(data):
    """encode(decode(b)) == b, or b is refused: no two byte strings are one value (attack 18)."""
    try:
        value = canonical.decode(data)
    except errors.StatementError:
        return
    assert canonical.encode(value) == data


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"b":1,"a":2}', "non-canonical"),
        (b'{"a":1,"a":1}', "malformed"),
        (b'{"a":{"b":1,"b":2}}', "malformed"),
        (b"1.0", "malformed"),
        (b"1e2", "malformed"),
        (b"1E400", "malformed"),
        (b"-0", "non-canonical"),
        (b"NaN", "malformed"),
        (b"-Infinity", "malformed"),
        (b"9007199254740992", "malformed"),
        (b"-9007199254740992", "malformed"),
        (b"1" * 5_000, "malformed"),
        (b"01", "malformed"),
        (b" 1", "non-canonical"),
        (b"1\n", "non-canonical"),
        (b"[1, 2]", "non-canonical"),
        (b'"\\u0041"', "non-canonical"),
        (b'"\\/"', "non-canonical"),
        (b'"\\u001F"', "non-canonical"),
        (b'"\\ud800"', "malformed"),
        (b'"\xff"', "malformed"),
        (b"\xef\xbb\xbf1", "malformed"),
        ('{"é":1}'.encode(), "malformed"),
        (b'{"\\n":1}', "malformed"),
        (b"", "malformed"),
        (b"1 2", "malformed"),
        (b"[" * 40 + b"]" * 40, "malformed"),
        (b"[" * 40_000, "malformed"),
        (b'"' + b"a" * canonical.MAX_BYTES + b'"', "too-large"),
    ],
)
def test_refusals(data, code):
    """Key order, duplicate keys, floats, 2^53, surrogates, depth, length: each refused with its code (attack 18)."""
    with pytest.raises(errors.StatementError) as caught:
        canonical.decode(data)
    assert caught.value.code == code


def test_limits_are_met_exactly():
    """The largest integer, the deepest nesting and the longest text pass."""
    deepest = json.loads("[" * 32 + "]" * 32)
    longest = "a" * (canonical.MAX_BYTES - 2)
    for value in (2**53 - 1, 1 - 2**53, [deepest], longest):
        assert canonical.decode(canonical.encode(value)) == value
    with pytest.raises(errors.StatementError):
        canonical.encode([[deepest]])


class Colour(enum.IntEnum):
    """An int that prints as a word."""

    RED = 1


@pytest.mark.parametrize("value", [1.0, float("nan"), b"x", Colour.RED, {1: 2}, {"é": 1}, {1, 2}, 2**53, "\ud800"])
def test_values_outside_the_profile_are_refused(value):
    """Nothing is converted on the way in: not a float, not an enum, not a numeric key."""
    with pytest.raises(errors.StatementError):
        canonical.encode(value)


def test_unicode_forms_stay_apart():
    """The composed and the decomposed e-acute are two values with two byte forms (attack 18)."""
    composed, decomposed = canonical.encode("\u00e9"), canonical.encode("e\u0301")
    assert composed != decomposed
    assert canonical.decode(composed) != canonical.decode(decomposed)
