"""Every parser of the ledger that meets bytes from outside, with inputs that it takes.

A parser here is a function from bytes to the bytes that the parsed value is written as: it must give back what it was given,
or refuse with a LedgerError. Anything else is a fault.
"""

import itertools
from collections.abc import Callable

from benchmarks import federation
from ledger import (
    account_statement,
    canonical,
    checkpoint,
    dsse,
    keys,
    leaf,
    merkle,
    note,
    policy,
    proof,
    scores,
    statements,
    tiles,
    vkey,
    witness,
)

NAME = "folkmoot.test/log"
KEY = federation.key("log")
ENVELOPES = list(itertools.islice(federation.envelopes(3), 14))
_OF = {"author": "ash", "run": "ab" * 32}
RARE = [
    statements.MemberRotate(**_OF, key=str(KEY.public), possession="A" * 86 + "=="),
    statements.MemberRevoke(**_OF, member="birch", reason="left"),
    statements.RoundDecline(**_OF, round=3, reason="policy-rounds"),
    statements.RoundCosign(**_OF, round=3, commit="cd" * 32),
    statements.RoundDispute(**_OF, round=3, commit="cd" * 32, reason="aggregate"),
    scores.ScoreCommit(**_OF, round=3, candidates="cd" * 32, commitment="ef" * 32),
    scores.ScoreReveal(**_OF, round=3, salt="cd" * 32, scores=(-7, 0, 12)),
    statements.RoundRecipient(**_OF, round=3, recipient="age1" + "q" * 58),
    statements.RoundDestroy(**_OF, round=3, recipient="age1" + "q" * 58),
    statements.RoundDisclose(**_OF, round=3, identity="AGE-SECRET-KEY-1" + "Q" * 58),
    statements.CreditTransfer(
        **_OF,
        id="reversal/3",
        code="reversal",
        reverses="round/3",
        round=3,
        postings=(("issued", 5), ("member:ash", -2), ("member:birch", -3)),
    ),
]


def envelope(data: bytes) -> bytes:
    return dsse.Envelope.parse(data).to_bytes()


def entry(data: bytes) -> bytes:
    return leaf.Entry.parse(data, seq=7, prev="ab" * 32).leaf


def statement(data: bytes) -> bytes:
    return statements.build(statements.parse(data))


def signed_note(data: bytes) -> bytes:
    text, lines = note.split(data)
    return f"{text}\n{''.join(map(str, lines))}".encode()


def verified_note(data: bytes) -> bytes:
    note.open(data, [note.Verifier(name=NAME, key=KEY.public)])
    return data


def promise(data: bytes) -> bytes:
    return str(checkpoint.LogCheckpoint.parse(data.decode("latin-1"))).encode("latin-1")


def public_key(data: bytes) -> bytes:
    return str(keys.PublicKey.parse(data.decode("latin-1"))).encode("latin-1")


def verifier_key(data: bytes) -> bytes:
    return note.vkey(vkey.parse(data.decode("latin-1"))).encode("latin-1")


def trust_policy(data: bytes) -> bytes:
    policy.Policy.parse(data)
    return data


def proof_file(data: bytes) -> bytes:
    return proof.Proof.parse(data).to_bytes()


def tile_path(data: bytes) -> bytes:
    return tiles.Tile.parse(data.decode("latin-1")).path.encode("latin-1")


def entry_bundle(data: bytes) -> bytes:
    return tiles.bundle(tiles.unbundle(data, 3))


def witness_request(data: bytes) -> bytes:
    return witness.Request.parse(data).to_bytes()


_NOTE = checkpoint.sign(checkpoint.LogCheckpoint(origin=NAME, size=8, root=bytes(32)), KEY)


def _account_statement():
    """An account statement, and the check of it."""
    prev, entries = leaf.NO_HEAD, []
    for seq, each in enumerate(ENVELOPES):
        entries.append(leaf.Entry.chain(seq, prev, each))
        prev = entries[-1].hash.hex()
    nodes, size = merkle.over([each.hash for each in entries]), len(entries)
    coordinator = federation.key(federation.COORDINATOR)
    signed = checkpoint.sign(
        checkpoint.LogCheckpoint(origin=NAME, size=size, root=merkle.root(size, nodes)), coordinator
    )
    chosen = account_statement.select(entries, "holder-0001")
    data = account_statement.build(
        "holder-0001", chosen, signed, size, lambda index, size: merkle.inclusion_proof(index, size, nodes)
    )

    def check(data: bytes) -> bytes:
        account_statement.check(data, lambda note: checkpoint.verify(note, NAME, coordinator.public))
        return data

    return check, [data]


_PATH = [bytes([number]) * 32 for number in range(3)]
_VKEY = note.vkey(note.Verifier(name=NAME, key=KEY.public))

PARSERS: dict[str, tuple[Callable[[bytes], bytes], list[bytes]]] = {
    "canonical": (
        lambda data: canonical.encode(canonical.decode(data)),
        [b'{"":[],"a":[true,false,null,-9007199254740991],"b":"\xc3\xa9 \\"\\\\\\b\\u001f"}', b"[[[[[]]]]]"],
    ),
    "envelope": (envelope, [each.to_bytes() for each in ENVELOPES[:3]]),
    "leaf": (entry, [leaf.Entry.chain(7, "ab" * 32, each).leaf for each in ENVELOPES[:2]]),
    "statement": (statement, [*(each.payload for each in ENVELOPES), *map(statements.build, RARE)]),
    "note": (signed_note, [_NOTE]),
    "verified note": (verified_note, [_NOTE]),
    "checkpoint": (promise, [f"{NAME}\n8\n".encode() + b"A" * 43 + b"=\n"]),
    "public key": (public_key, [str(KEY.public).encode()]),
    "verifier key": (verifier_key, [_VKEY.encode()]),
    "policy": (trust_policy, [f"log {_VKEY}\nquorum none\n".encode()]),
    "proof": (proof_file, [proof.Proof(index=5, path=tuple(_PATH), note=_NOTE, extra=b"more").to_bytes()]),
    "tile path": (tile_path, [b"tile/0/x001/x234/067", b"tile/entries/000.p/255"]),
    "bundle": (entry_bundle, [tiles.bundle([b"a", b"", b"c" * 300])]),
    "account statement": _account_statement(),
    "witness request": (witness_request, [witness.Request(old=5, proof=tuple(_PATH), note=_NOTE).to_bytes()]),
}
SECOND_FORMS = frozenset({"verified note", "policy"})
"""Parsers that do not write: their inputs have no one form (unknown signature lines, comments)."""
