"""What the next round must be, as a function of the ledger: the coordinator signs it, an auditor compares it."""

import hashlib
from collections.abc import Callable, Sequence

from aggregation import errors as aggregation_errors
from aggregation import lattice, rules
from client import agreement, checkpoint
from client.tasks import catalogue
from ledger import history, statements
from orchestrator import errors, settlement


def prescribe(
    agreed: agreement.Agreement, known: history.History, recipients: Sequence[str], get: Callable[[str], bytes]
) -> statements.RoundOpen:
    """The opening of the next round; only its recipients, and the code digest of this machine's task, are not prescribed.

    Args:
        agreed: the run.
        known: the ledger, between two rounds.
        recipients: texts of the age recipients that updates are sealed to.
        get: bytes of the initial checkpoint or of the last aggregate, by CID.

    Raises:
        RoundError: after revocations too few holders are left for the plan's rule.

    Reference: docs/protocol.md P8.
    """
    members = cohort(known, size=agreed.plan.cohort.size)
    _require_enough(agreed, known, members)
    return statements.RoundOpen(
        author=agreed.founder,
        run=agreed.run,
        round=known.round + 1,
        parent=known.checkpoint or agreed.checkpoint,
        cohort=members,
        recipients=tuple(recipients),
        exponents=exponents(agreed, known, get),
        task=catalogue.digest(agreed.plan.task),
        rule=agreed.plan.rule.digest(),
        deadline=agreed.plan.cohort.deadline,
    )


def cohort(known: history.History, *, size: int) -> tuple[str, ...]:
    """The members of the round that opens next, sorted: all holders, or the `size` first by sha256(parent LF name).

    Who is revoked is no holder any more. The parent checkpoint is settled before anybody can know it, so nobody can grind
    names or seeds for a place (docs/protocol.md P8).
    """
    holders = sorted(
        name for name, member in known.members.items() if member.role == "holder" and member.revoked_at is None
    )
    if size:
        holders.sort(key=lambda name: hashlib.sha256(f"{known.checkpoint}\n{name}".encode()).digest())
    return tuple(sorted(holders[: size or len(holders)]))


def exponents(agreed: agreement.Agreement, known: history.History, get: Callable[[str], bytes]) -> tuple[int, ...]:
    """The lattice of the round that opens next: from the initial weights, then from each aggregate (docs/protocol.md P9)."""
    sizes = tuple(spec.size for spec in agreed.specs)
    headroom = agreed.plan.lattice.headroom_bits
    if known.finished is None or known.finished.commit is None:
        initial = checkpoint.decode(get(agreed.checkpoint), agreed.checkpoint, agreed.specs)
        return lattice.initial(sizes, initial.weights, headroom_bits=headroom).exponents
    on = lattice.Lattice(sizes=sizes, exponents=known.finished.open.exponents)
    aggregate = settlement.read_aggregate(get(known.finished.commit.aggregate), agreed.specs)
    return lattice.following(on, aggregate, headroom_bits=headroom).exponents


def _require_enough(agreed: agreement.Agreement, known: history.History, members: Sequence[str]) -> None:
    rule = agreed.plan.rule
    try:
        rules.check(rule.name, rule.pre, len(members), rule.byzantine)
    except aggregation_errors.RuleError as error:
        revoked = sum(member.role == "holder" and member.revoked_at is not None for member in known.members.values())
        message = f"round {known.round + 1} would have a cohort of {len(members)}, {revoked} holders being revoked"
        raise errors.RoundError(f"{message}, too few for the plan's rule: {error}") from error
