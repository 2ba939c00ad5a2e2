"""Taking a round's credit back: the coordinator signs the exact opposite of what the round paid, once, and says why.

A payment is never changed, and no member can come to hold less than nothing: what is taken back was paid. It does not mend the
round: whoever audits it finds what it found before.
"""

import dataclasses

from ledger import accounts, log, statements, transfers
from orchestrator import errors, folder, journal, publishing


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """Credit that was taken back.

    Attributes:
        entry: log position of the transfer that does it.
        id: of that transfer.
        round: whose credit it was.
        reason: why, as the log says; another than was given where an earlier call was stopped before it was signed.
        postings: (account, micro-credits) that it moves.
        balances: what the members that it moves then hold, by name.
    """

    entry: int
    id: str
    round: int
    reason: str
    postings: tuple[tuple[str, int], ...]
    balances: dict[str, int]


def take_back(where: folder.RunFolder, number: int, reason: str) -> Reversal:
    """The reversal of a round's payment: on the ledger, under a signed checkpoint.

    Stopped before the checkpoint is signed, the same call signs it; so does one with another reason, and the first one stands.

    Args:
        where: the run folder; it is locked meanwhile.
        number: of the round.
        reason: why, as a code.

    Raises:
        ConfigError: the round was not paid, paid nobody, or was taken back before.
        FolderError: the folder is busy, there is no run, or a change of key was cut short.
        LedgerError: the log is damaged.

    Reference: docs/protocol.md P6, P14.
    """
    with where.existing().locked():
        where.require_settled_keys()
        with journal.published(where.ledger) as read:
            before, signed = _found(read, number), read.notes()[-1][0]
        if before.taken is not None and before.taken.seq < signed:
            said = transfers.reason(before.taken.id) or "no reason was said"
            message = f"the credit of round {number} was taken back at entry {before.taken.seq} ({said})"
            raise errors.ConfigError(f"{message}: that can be done once")
        with publishing.opened(where, where.coordinator_key()) as record:
            if before.taken is None:
                record.append(*record.sign(_opposite(before, number, reason, record.history.run or "")))
            record.publish()
            held = record.history.balances
        with journal.published(where.ledger) as read:
            done = _found(read, number).taken
    if done is None:
        raise errors.RoundError(f"the reversal of round {number} is not on the log, on which it was just written")
    changed = {name: held[name] for name in transfers.changes(done.postings)}
    why = transfers.reason(done.id)
    return Reversal(entry=done.seq, id=done.id, round=number, reason=why, postings=done.postings, balances=changed)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Moves:
    """What the log says of a round's credit.

    Attributes:
        author: of the payment.
        paid: the payment; None if there is none.
        taken: what took it back; None if nothing did.
        last: the last round that was paid, 0 if none.
    """

    author: str
    paid: accounts.Transfer | None
    taken: accounts.Transfer | None
    last: int


def _found(record: log.Log, number: int) -> _Moves:
    author, paid, taken, last = "", None, None, 0
    for entry in record.entries():
        said = statements.parse(entry.envelope.payload)
        if not isinstance(said, statements.CreditTransfer):
            continue
        author, last = said.author, max(last, said.round)
        if said.round == number:
            made = accounts.Transfer.of(entry, said)
            paid, taken = (paid, made) if said.reverses else (made, taken)
    return _Moves(author=author, paid=paid, taken=taken, last=last)


def _opposite(found: _Moves, number: int, reason: str, run: str) -> statements.CreditTransfer:
    if found.paid is None:
        raise errors.ConfigError(f"round {number} was not paid; the rounds up to {found.last} were")
    if not found.paid.postings:
        raise errors.ConfigError(f"round {number} paid nobody, so there is nothing to take back")
    return statements.CreditTransfer(
        author=found.author,
        run=run,
        round=number,
        id=transfers.reversal_id(number, reason),
        code="reversal",
        reverses=found.paid.id,
        postings=transfers.opposite(found.paid.postings),
    )
