"""Bech32 against the vectors of BIP 173."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import bech32, errors

VALID = [
    ("A12UEL5L", "A", ""),
    ("a12uel5l", "a", ""),
    (
        "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
        "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio",
        "",
    ),
    ("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "abcdef", "00443214c74254b635cf84653a56d7c675be77df"),
    (
        "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
        "split",
        "c5f38b70305f519bf66d85fb6cf03058f3dde463ecd7918f2dc743918f2d",
    ),
]
INVALID = [
    "\x201nwldj5",  # prefix character out of range
    "\x7f1axkwrx",
    "\x801eym55h",
    "pzry9x0s0muk",  # no separator
    "1pzry9x0s0muk",  # empty prefix
    "x1b4n0q5v",  # data character out of the alphabet
    "li1dgmt3",  # checksum too short
    "de1lg7wt\xff",
    "A1G7SGD8",  # checksum made from the upper-case prefix
    "10a06t8",
    "1qzzfhee",
    "a1lqfn3a",  # bech32m's checksum, not bech32's
]


@pytest.mark.parametrize(("text", "prefix", "data"), VALID)
def test_decodes_the_valid_vectors_of_bip_173(text: str, prefix: str, data: str) -> None:
    """What BIP 173 calls valid is decoded to the data it names, and encodes back to the same text."""
    assert bech32.decode(text) == (prefix, bytes.fromhex(data))
    assert bech32.encode(prefix.lower(), bytes.fromhex(data)) == text.lower()


@pytest.mark.parametrize("text", INVALID)
def test_refuses_the_invalid_vectors_of_bip_173(text: str) -> None:
    """What BIP 173 calls invalid is refused with a typed error."""
    with pytest.raises(errors.KeyTextError):
        bech32.decode(text)


def test_refuses_mixed_case() -> None:
    """A text in both cases is refused although each case alone has a right checksum."""
    with pytest.raises(errors.KeyTextError, match="mixes"):
        bech32.decode("A12uEL5L")


def test_refuses_padding_that_is_not_zero() -> None:
    """Bits that no byte holds must be zero, or one key would have several texts."""
    # BIP 173's "abcdef" vector encodes 20 bytes in exactly 32 words; one word less leaves 3 bits, which are not zero.
    words = [0] * 30 + [1]
    check = bech32._polymod([*bech32._expand("abcdef"), *words, 0, 0, 0, 0, 0, 0]) ^ 1
    words += [check >> shift & 31 for shift in (25, 20, 15, 10, 5, 0)]
    with pytest.raises(errors.KeyTextError, match="padding"):
        bech32.decode("abcdef1" + "".join(bech32.ALPHABET[word] for word in words))


def test_refuses_a_whole_word_of_padding() -> None:
    """A last word that holds no bit of data is refused, even if it is zero."""
    words = [0, 0, 0]  # 15 bits: one byte and 7 bits of padding
    check = bech32._polymod([*bech32._expand("x"), *words, 0, 0, 0, 0, 0, 0]) ^ 1
    words += [check >> shift & 31 for shift in (25, 20, 15, 10, 5, 0)]
    with pytest.raises(errors.KeyTextError, match="padding"):
        bech32.decode("x1" + "".join(bech32.ALPHABET[word] for word in words))


def test_refuses_a_text_of_a_megabyte_at_once() -> None:
    """A text longer than any key is refused by its length, before its checksum is computed."""
    with pytest.raises(errors.KeyTextError, match="at most 4096"):
        bech32.decode("age1" + "q" * 1_000_000)


@given(st.binary(max_size=80))
def test_decode_inverts_encode(data: bytes) -> None:
    """Every byte string survives the way to text and back, in both cases."""
    text = bech32.encode("age", data)
    assert bech32.decode(text) == ("age", data)
    assert bech32.decode(text.upper()) == ("AGE", data)


@given(st.binary(min_size=32, max_size=32), st.data())
def test_one_wrong_character_is_noticed(data: bytes, draw: st.DataObject) -> None:
    """A key with one mistyped character is refused, and the error does not repeat the text, which may be a secret."""
    text = bech32.encode("age", data)
    position = draw.draw(st.integers(4, len(text) - 1))
    wrong = draw.draw(st.sampled_from([letter for letter in bech32.ALPHABET if letter != text[position]]))
    with pytest.raises(errors.KeyTextError) as caught:
        bech32.decode(text[:position] + wrong + text[position + 1 :])
    assert text[10:30] not in str(caught.value)
