"""The log of a made-up federation: real statements under real keys that `history` admits, and no training behind them."""

import base64
import hashlib
import itertools
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ed25519

from ledger import context, dsse, keys, statements

COORDINATOR = "coordinator"
POOL = 1_000_000
PLAN = {"credit": {"pool": POOL}, "disclosure": "none"}
RUNTIME = {"capability": "AVX2", "deterministic": "true", "dtype": "float32", "threads": "1", "torch": "2.13.0+cpu"}


def key(name: str) -> keys.SigningKey:
    """The key of a member: made of its name, so that the same federation is the same bytes."""
    seed = hashlib.sha256(f"folkmoot benchmark {name}".encode()).digest()
    return keys.SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed))


def cid(content: str) -> str:
    """The CID of a block that holds a text."""
    digest = hashlib.sha256(content.encode()).digest()
    return "b" + base64.b32encode(b"\x01\x55\x12\x20" + digest).decode().lower().rstrip("=")


def envelopes(holders: int) -> Iterator[dsse.Envelope]:
    """The statements of a run of so many holders, all of them in each round, without end.

    `2 * holders + 1` enter first; then each round has `holders + 4`.
    """
    names = [f"holder-{number:04d}" for number in range(holders)]
    signers = {name: key(name) for name in [COORDINATOR, *names]}

    def say(statement: statements.Predicate) -> dsse.Envelope:
        return dsse.sign(statements.build(statement), signers[statement.author])

    start = cid("start")
    genesis = say(
        statements.Genesis(author=COORDINATOR, plan=PLAN, key=str(signers[COORDINATOR].public), checkpoint=start)
    )
    yield genesis
    run = genesis.eid
    for name in names:
        yield say(statements.MemberEnrol(author=name, run=run, key=str(signers[name].public)))
        yield say(statements.MemberRole(author=COORDINATOR, run=run, member=name, role="holder"))
    parent, entry = start, 2 * holders + 1
    for number in itertools.count(1):
        yield from map(say, _round(run, number, parent, names, entry))
        parent, entry = cid(f"checkpoint {number}"), entry + holders + 4


def _round(
    run: str, number: int, parent: str, names: list[str], entry: int
) -> Iterator[statements.RoundOpen | statements.RoundStatement]:
    holders = tuple(names)
    yield statements.RoundOpen(
        author=COORDINATOR,
        run=run,
        round=number,
        parent=parent,
        cohort=holders,
        recipients=("age1" + "q" * 58,),
        exponents=(-12, -12, -11, -11),
        task="0" * 64,
        rule="1" * 64,
        deadline=600,
    )
    for name in names:
        yield _offer(run, number, parent, name)
    yield statements.RoundSeal(
        author=COORDINATOR, run=run, round=number, offers=tuple(range(entry + 1, entry + 1 + len(names)))
    )
    yield statements.RoundCommit(
        author=COORDINATOR,
        run=run,
        round=number,
        accepted=holders,
        rejected=(),
        aggregate=cid(f"aggregate {number}"),
        checkpoint=cid(f"checkpoint {number}"),
        correct=1,
        total=2,
        loss_micro=3,
    )
    share = POOL // len(names)
    paid = [(f"member:{name}", share) for name in names[1:]]
    yield statements.CreditTransfer(
        author=COORDINATOR,
        run=run,
        id=f"round/{number}",
        code="round",
        reverses="",
        round=number,
        postings=(("issued", -POOL), (f"member:{names[0]}", POOL - share * len(paid)), *paid),
    )


def _offer(run: str, number: int, parent: str, name: str) -> statements.UpdateOffer:
    return statements.UpdateOffer(
        author=name,
        run=run,
        round=number,
        parent=parent,
        ciphertext=cid(f"{name} {number}"),
        size=10_287,
        examples=143,
        saturated=0,
        context=context.context_digest(run, number, parent, name).hex(),
        runtime=RUNTIME,
    )
