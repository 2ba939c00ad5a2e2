"""What the next round must be, as a function of the ledger: the coordinator signs it, an auditor compares it."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

from aggregation import errors as aggregation_errors
from aggregation import lattice, rules
from client import agreement, checkpoint, quorum
from client.tasks import catalogue
from exchange import errors as exchange_errors
from exchange import recipients
from ledger import history, statements
from orchestrator import errors, findings, settlement

MOST_AGGREGATORS = 15


def prescribe(
    agreed: agreement.Agreement, known: history.History, own: str, get: Callable[[str], bytes]
) -> statements.RoundOpen:
    """The opening of the next round; only its first recipient, and the code digest of this machine's task, are not prescribed.

    Args:
        agreed: the run.
        known: the ledger, between two rounds.
        own: text of the coordinator's age recipient, a fresh one.
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
        recipients=readers(known, own),
        exponents=exponents(agreed, known, get),
        task=catalogue.digest(agreed.plan.task),
        rule=agreed.plan.rule.digest(),
        deadline=agreed.plan.cohort.deadline,
    )


def compare(
    agreed: agreement.Agreement,
    known: history.History,
    statement: statements.RoundOpen,
    get: Callable[[str], bytes],
) -> None:
    """Nothing, if an opening on record is the prescribed one; arguments as for `prescribe`.

    Raises:
        AuditError: it is not; the message names what differs.

    Reference: docs/protocol.md P15.
    """
    if statement.round > agreed.plan.rounds:
        message = f"round {statement.round} is opened, the plan ends with round {agreed.plan.rounds}"
        raise errors.AuditError(message, "opening")
    holders = sum(member.role == "holder" for member in known.members.values())
    if agreed.plan.cohort.members == "fixed" and holders != agreed.plan.task.holders:
        message = f"the ledger has {holders} holders, the plan {agreed.plan.task.holders}"
        raise errors.AuditError(f"round {statement.round}: {message}", "opening")
    try:
        prescribed = prescribe(agreed, known, statement.recipients[0], get)
    except errors.RoundError as error:
        raise errors.AuditError(str(error), "opening") from error
    # The task's code digest is the holders' business: an auditor may have another version of the code.
    findings.same(statement.round, "opening", statement, dataclasses.replace(prescribed, task=statement.task))


def require_lawful(agreed: agreement.Agreement, known: history.History, seal: statements.RoundSeal) -> None:
    """Nothing, if a seal on record lists enough offers.

    Args:
        agreed: the run.
        known: the ledger before the seal.
        seal: it.

    Raises:
        AuditError: it lists fewer than the plan's minimum, while others could still offer or offers were left out.

    Reference: docs/protocol.md P8, P15.
    """
    minimum = quorum.least(agreed.plan)
    if not quorum.lawful(known, seal, minimum=minimum):
        said = f"round {seal.round}: sealed with {len(seal.offers)} offers, expected at least {minimum}"
        waiting = ", ".join(quorum.unanswered(known)) or "nobody, but offers were left out"
        raise errors.AuditError(f"{said}: still to answer were {waiting}", "seal")


def cohort(known: history.History, *, size: int) -> tuple[str, ...]:
    """The members of the round that opens next, sorted: all holders, or the `size` first by sha256(parent LF name).

    Who is revoked is no holder any more. The parent checkpoint is settled before anybody can know it, so nobody can grind
    names or seeds for a place (docs/protocol.md P8).
    """
    holders = list(quorum.holders(known))
    if size:
        parent = f"{known.checkpoint}\n".encode()
        holders.sort(key=lambda name: hashlib.sha256(parent + name.encode()).digest())
    return tuple(sorted(holders[: size or len(holders)]))


def readers(known: history.History, own: str) -> tuple[str, ...]:
    """Whom updates of the round that opens next are sealed to: the coordinator, then each aggregator by name.

    An aggregator has to have named a recipient for this round that is one, of the coordinator's kind; of two that name the
    same, the first by name; of more than MOST_AGGREGATORS, the first.

    Args:
        known: the ledger, between two rounds.
        own: the coordinator's recipient.

    Reference: docs/protocol.md P26.
    """
    named = known.recipients.of(known.round + 1)
    found = [own]
    for name in sorted(named):
        member = known.members[name]
        active = member.role == "aggregator" and member.revoked_at is None
        if active and named[name] not in found and _usable(named[name], own):
            found.append(named[name])
    return tuple(found[: 1 + MOST_AGGREGATORS])


def _usable(recipient: str, own: str) -> bool:
    """Whether holders can seal to a recipient beside the coordinator's; else one aggregator could keep all of them from it."""
    try:
        return type(recipients.parse_recipient(recipient)) is type(recipients.parse_recipient(own))
    except exchange_errors.ExchangeError:
        return False


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
        if len(members) < quorum.least(agreed.plan):
            said = f"round {known.round + 1} would have a cohort of {len(members)}"
            raise errors.RoundError(f"{said}, and the plan's minimum is {agreed.plan.cohort.minimum}")
    except aggregation_errors.RuleError as error:
        revoked = sum(member.role == "holder" and member.revoked_at is not None for member in known.members.values())
        message = f"round {known.round + 1} would have a cohort of {len(members)}, {revoked} holders being revoked"
        raise errors.RoundError(f"{message}, too few for the plan's rule: {error}") from error
