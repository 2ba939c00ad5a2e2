"""Inputs that nobody meant: parsers refuse with a typed error, and what they take has one byte form (attack 18)."""

import random

import pytest

from ledger import errors
from tests.ledger import parsers

INPUTS = 3_000


def mutant(seed: bytes, others: list[bytes], draws: random.Random) -> bytes:
    """A seed after a few cuts, copies, flips and splices."""
    data = bytearray(seed)
    for _ in range(draws.choice([1, 1, 1, 2, 3, 6])):
        at, end = sorted(draws.choices(range(len(data) + 1), k=2))
        match draws.randrange(8):
            case 0 if data:
                data[at % len(data)] ^= 1 << draws.randrange(8)
            case 1:
                del data[at : min(end, at + 8)]
            case 2:
                data[at:at] = data[at : min(end, at + 40)]
            case 3:
                data[at:at] = draws.randbytes(draws.randrange(1, 5))
            case 4:
                other = draws.choice(others)
                start = draws.randrange(len(other) + 1)
                data[at : at + draws.randrange(4)] = other[start : start + draws.randrange(1, 60)]
            case 5:
                data[at:at] = draws.choice(TOKENS)
            case 6 if data:
                data[at % len(data)] = draws.choice(b'0129aZ"\\{}[]:,\n \t+=/-.\x00\xff')
            case _:
                data = data[:at] + data[end:] if draws.random() < 0.3 else data
    return bytes(data)


TOKENS = [
    b"9007199254740992",
    b"-0",
    b"1e3",
    b"1.0",
    b"NaN",
    b"Infinity",
    b"\\ud800",
    b"\\u0061",
    b"\\/",
    b'"a":1,',
    b"[" * 40,
    b"null",
    b"true",
    b"\r\n",
    b"\n\n",
    b"\xe2\x80\x94 ",
    b"=",
    b"==",
    b"A" * 70_000,
    b"18446744073709551616",
    b"x000/",
    b".p/256",
]


@pytest.mark.parametrize("name", parsers.PARSERS)
def test_a_seed_is_taken(name):
    """The examples that mutations start from are good."""
    parse, seeds = parsers.PARSERS[name]
    for seed in seeds:
        assert parse(seed) == seed


@pytest.mark.parametrize("name", parsers.PARSERS)
def test_mutants_are_refused_or_have_one_form(name):
    """Thousands of damaged inputs for each parser: no other exception, no second byte form (attack 18)."""
    parse, seeds = parsers.PARSERS[name]
    draws = random.Random(name)
    refused = 0
    for _ in range(INPUTS):
        data = mutant(draws.choice(seeds), seeds, draws)
        try:
            assert parse(data) == data, data
        except errors.LedgerError:
            refused += 1
    assert refused > INPUTS // 2
