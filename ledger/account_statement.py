"""Account statements: every posting to one member's account, in one file that a stranger can check with the log's key alone.

::

    {"account":"member:ash",
     "balance":600,
     "checkpoint":"<the signed note of a log checkpoint>",
     "entries":[{"leaf":"<the leaf>","path":["<base64 of 32 bytes>", ...],"seq":0}, ...],
     "format":"folkmoot-account-statement/v1",
     "postings":[{"amount":600,"balance":600,"code":"round","id":"round/1","reverses":"","round":1,"seq":13}, ...]}

as canonical JSON (without the line ends). The entries are the genesis, the coordinator's changes of key and the transfers
that post to the account. All else in the file follows from them.

It proves that these postings are in the log that the key vouches for, each signed by the run's coordinator. It does not
prove that there are no more: a posting that was left out shows in the whole log only.

Reference: docs/protocol.md P20.
"""

import base64
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ledger import accounts, canonical, checkpoint, dsse, errors, fields, leaf, membership, proof, statements
from ledger import transfers as rules

FORMAT = "folkmoot-account-statement/v1"
MAX_BYTES = 64 * 1024 * 1024

Inclusion = Callable[[int, int], Sequence[bytes]]
"""inclusion(index, size): the audit path of an entry, such as `Log.inclusion`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """An entry with the audit path that leads from it to the root of the file's log checkpoint."""

    entry: leaf.Entry
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatement:
    """An account statement that was checked.

    Attributes:
        member: Whose account it is.
        run: Hex eid of the genesis.
        coordinator: Who signed the transfers.
        checkpoint: What the log's key vouches for.
        postings: In order of position, with the running balance.
    """

    member: str
    run: str
    coordinator: str
    checkpoint: checkpoint.LogCheckpoint
    postings: tuple[accounts.Posting, ...]

    @property
    def balance(self) -> int:
        """Micro-credits that the postings come to."""
        return self.postings[-1].balance if self.postings else 0


def select(entries: Iterable[leaf.Entry], member: str) -> Iterator[leaf.Entry]:
    """The entries of a log that belong in a member's account statement.

    Args:
        entries: From position 0 on, verified (`history.apply`).
        member: Its name.
    """
    account, coordinator = rules.account(member), ""
    for entry in entries:
        match statements.parse(entry.envelope.payload):
            case statements.Genesis(author=author):
                coordinator = author
                yield entry
            case statements.MemberRotate(author=author) if author == coordinator:
                yield entry
            case statements.CreditTransfer(postings=postings) if account in dict(postings):
                yield entry


def build(member: str, entries: Iterable[leaf.Entry], note: bytes, size: int, inclusion: Inclusion) -> bytes:
    """The account statement of a member.

    Args:
        member: Its name.
        entries: What `select` gives of the first `size` entries of the log.
        note: The signed note of the log checkpoint of that size.
        size: Entries that it covers.
        inclusion: Audit paths in the tree of that size.

    Raises:
        StatementError: The file would be longer than `MAX_BYTES`, or a sum beyond 2^53-1.
        HistoryError, SignatureError: The entries are not what `select` gives of a verified log.

    Reference: docs/protocol.md P20.
    """
    proven = [Proven(entry=entry, path=tuple(inclusion(entry.seq, size))) for entry in entries]
    _, postings = _told(member, [each.entry for each in proven])
    return canonical.encode(_document(member, proven, note, postings), limit=MAX_BYTES)


def check(data: bytes, verify: Callable[[bytes], checkpoint.LogCheckpoint]) -> AccountStatement:
    """The account statement in a file, all of it worked out again from its leaves.

    Args:
        data: The file.
        verify: The log checkpoint of a note, or a refusal: `checkpoint.verify` with the log's name and key, or `Policy.accept`.

    Raises:
        StatementError: Not the one byte form of an account statement, or one that says other than its leaves.
        SignatureError: The log checkpoint, the genesis, a change of key or a transfer is not signed by who had to.
        ProofError: A leaf is not in the log.
        HistoryError: A statement that does not fit those before it.

    Reference: docs/protocol.md P20.
    """
    member, note, proven = _read(data)
    promise = verify(note)
    for each in proven:
        evidence = proof.Proof(index=each.entry.seq, path=each.path, note=note)
        evidence.verify(each.entry.leaf, lambda _: promise)
    genesis, postings = _told(member, [each.entry for each in proven])
    if canonical.encode(_document(member, proven, note, postings), limit=MAX_BYTES) != data:
        message = f"an account statement whose postings or balance are not those of its {len(proven)} leaves"
        raise errors.StatementError(message)
    run = proven[0].entry.eid
    return AccountStatement(
        member=member, run=run, coordinator=genesis.author, checkpoint=promise, postings=tuple(postings)
    )


def _document(
    member: str, proven: Iterable[Proven], note: bytes, postings: Sequence[accounts.Posting]
) -> dict[str, canonical.Json]:
    return {
        "format": FORMAT,
        "account": rules.account(member),
        "entries": [
            {
                "seq": each.entry.seq,
                "leaf": each.entry.leaf.decode(),
                "path": [base64.b64encode(step).decode() for step in each.path],
            }
            for each in proven
        ],
        "checkpoint": note.decode(),
        "postings": [_row(posting) for posting in postings],
        "balance": postings[-1].balance if postings else 0,
    }


def _row(posting: accounts.Posting) -> dict[str, canonical.Json]:
    made = posting.transfer
    about: dict[str, canonical.Json] = {"seq": made.seq, "id": made.id, "code": made.code, "reverses": made.reverses}
    return about | {"round": made.round, "amount": posting.amount, "balance": posting.balance}


def _told(member: str, entries: Sequence[leaf.Entry]) -> tuple[statements.Genesis, list[accounts.Posting]]:
    """The genesis, and the postings to the account."""
    genesis = statements.parse(entries[0].envelope.payload) if entries else None
    if not isinstance(genesis, statements.Genesis) or entries[0].seq != 0:
        raise errors.StatementError("an account statement that does not begin with a genesis at entry 0")
    dsse.verify(entries[0].envelope, membership.signing_key(membership.Members(), genesis))
    made = _transfers(genesis, entries)
    _require_paid(made)
    account = rules.account(member)
    _require(all(account in dict(each.postings) for each in made), f"a transfer that does not touch {account}")
    return genesis, [posting for posting in accounts.postings(made) if posting.account == account]


def _transfers(genesis: statements.Genesis, entries: Sequence[leaf.Entry]) -> list[accounts.Transfer]:
    """The transfers after the genesis; each entry signed by the coordinator, with the key that it had there."""
    members, run = membership.found(genesis, seq=0), entries[0].eid
    made: list[accounts.Transfer] = []
    for before, entry in itertools.pairwise(entries):
        statement = statements.parse(entry.envelope.payload)
        _require(entry.seq > before.seq, f"entry {entry.seq} after {before.seq}, expected ascending positions")
        _require(statement.author == genesis.author, f"entry {entry.seq} by {statement.author}, not {genesis.author}")
        dsse.verify(entry.envelope, membership.signing_key(members, statement))
        match statement:
            case statements.MemberRotate() if statement.run == run:
                members = membership.rotate(members, statement, seq=entry.seq)
            case statements.CreditTransfer() if statement.run == run:
                made.append(accounts.Transfer.of(entry, statement))
            case _:
                raise errors.StatementError(f"entry {entry.seq} is no change of key and no transfer of this run")
    return made


def _require_paid(made: Iterable[accounts.Transfer]) -> None:
    """Nothing, if no transfer is there twice, and what is taken back was paid: a missing payment shows where it can."""
    paid: dict[str, rules.Postings] = {}
    known: set[str] = set()
    for each in made:
        _require(each.id not in known, f"transfer {each.id} twice")
        known.add(each.id)
        if each.code == "reversal":
            opposite = rules.opposite(each.postings)
            _require(paid.pop(each.reverses, None) == opposite, f"{each.id} without {each.reverses}, its opposite")
        else:
            paid[each.id] = each.postings


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise errors.StatementError(f"an account statement with {otherwise}")


def _read(data: bytes) -> tuple[str, bytes, list[Proven]]:
    """(member, note, entries) of a file; what follows from them is compared later, as bytes."""
    match canonical.decode(data, limit=MAX_BYTES):
        case {"format": str(form), "account": str(account), "entries": list(entries), "checkpoint": str(note)}:
            _require(form == FORMAT, f"the format {form[:60]!a}, expected {FORMAT}")
        case _:
            raise errors.StatementError(f"{data[:60]!r} is no account statement")
    member = account.removeprefix(fields.MEMBER)
    _require(fields.read_account(account) != member, f"the account {account}, expected a member's")
    return member, note.encode(), [_proven(each) for each in entries]


def _proven(value: canonical.Json) -> Proven:
    match value:
        # By exact type, because true is an int too.
        case {"seq": int(seq), "leaf": str(text), "path": list(path)} if type(seq) is int:
            data = text.encode()
        case _:
            raise errors.StatementError("an account statement with an entry that is not a position, a leaf and a path")
    match canonical.decode(data, limit=leaf.MAX_BYTES):
        case {"prev": str(prev)}:
            entry = leaf.Entry.parse(data, seq=seq, prev=prev)
        case _:
            raise errors.StatementError(f"an account statement with the leaf {text[:60]!a}, which names none before it")
    return Proven(entry=entry, path=tuple(map(_decoded, path)))


def _decoded(step: object) -> bytes:
    try:
        return base64.b64decode(str(step), validate=True)
    except ValueError as error:
        raise errors.StatementError(f"audit path with {ascii(step)[:60]}, expected base64") from error
