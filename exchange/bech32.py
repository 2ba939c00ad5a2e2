"""Bech32 text: a prefix, the separator "1", data in 5-bit characters and a checksum of 6.

    age1 zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equ nujwj
    prefix 1 data                                             checksum

As in the age specification the limit of 90 characters does not apply; the checksum is that of BIP 173, not of bech32m.
What is decoded may be a secret, so no error repeats it.
"""

from collections.abc import Iterable

from exchange import errors

ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
MAX_LENGTH = 4096  # characters; the longest age key has 1,959
_VALUES = {character: value for value, character in enumerate(ALPHABET)}


def encode(prefix: str, data: bytes) -> str:
    """The bech32 text of `data`, in lower case.

    Args:
        prefix: lower case, of printable ASCII characters.
        data: any number of bytes.

    Returns:
        The text with its checksum.

    Reference: BIP 173, "Bech32".
    """
    words = _regroup(data, source_bits=8, target_bits=5)
    check = _polymod([*_expand(prefix), *words, 0, 0, 0, 0, 0, 0]) ^ 1
    words += [check >> shift & 31 for shift in (25, 20, 15, 10, 5, 0)]
    return prefix + "1" + "".join(ALPHABET[word] for word in words)


def decode(text: str) -> tuple[str, bytes]:
    """The prefix, in the case it was written in, and the data of a bech32 text.

    Args:
        text: all in one case, at most MAX_LENGTH characters.

    Returns:
        (prefix, data).

    Raises:
        KeyTextError: the text is too long, of mixed case, without a prefix, holds a foreign character, fails its
            checksum or has padding that is not zero.

    Reference: BIP 173, "Bech32"; docs/protocol.md P10.
    """
    if len(text) > MAX_LENGTH:
        raise errors.KeyTextError(f"bech32 text of {len(text)} characters, expected at most {MAX_LENGTH}")
    if not all(33 <= ord(character) <= 126 for character in text):
        raise errors.KeyTextError("bech32 text holds a character outside printable ASCII")
    if text not in {text.lower(), text.upper()}:
        raise errors.KeyTextError("bech32 text mixes upper and lower case, expected one of them")
    prefix, _, rest = text.rpartition("1")
    if not prefix or len(rest) < 6:
        raise errors.KeyTextError(f'bech32 text of {len(text)} characters, expected prefix, "1", data and checksum')
    try:
        words = [_VALUES[character] for character in rest.lower()]
    except KeyError:
        raise errors.KeyTextError("bech32 data holds a character outside the bech32 alphabet") from None
    if _polymod([*_expand(prefix.lower()), *words]) != 1:
        raise errors.KeyTextError("bech32 checksum does not match, expected the text to be copied whole")
    return prefix, _ungroup(words[:-6])


def _polymod(values: Iterable[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(GENERATOR):
            if top >> bit & 1:
                check ^= generator
    return check


def _expand(prefix: str) -> list[int]:
    return [ord(character) >> 5 for character in prefix] + [0] + [ord(character) & 31 for character in prefix]


def _regroup(data: Iterable[int], *, source_bits: int, target_bits: int) -> list[int]:
    """The same bits in words of `target_bits`; a last word that is not full is padded with zeros."""
    accumulator = bits = 0
    words = []
    for value in data:
        accumulator = (accumulator << source_bits | value) & 0xFFF
        bits += source_bits
        while bits >= target_bits:
            bits -= target_bits
            words.append(accumulator >> bits & (1 << target_bits) - 1)
    if bits:
        words.append(accumulator << (target_bits - bits) & (1 << target_bits) - 1)
    return words


def _ungroup(words: list[int]) -> bytes:
    """The bytes in 5-bit `words`, whose padding must be zero and shorter than a word."""
    octets = _regroup(words, source_bits=5, target_bits=8)
    size, padding = divmod(len(words) * 5, 8)
    if padding >= 5 or any(octets[size:]):
        raise errors.KeyTextError("bech32 padding is not zero or longer than 4 bits")
    return bytes(octets[:size])
