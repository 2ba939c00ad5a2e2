"""How many are enough: for a round to be opened, and for its list of offers to be sealed.

    sealed lawfully  =  at least the plan's minimum of offers,  or  every offer there is, and nobody left who could still offer

Whoever has offered, has declined or is revoked has answered. The coordinator seals by this, and an auditor judges by this.
"""

import bisect

from aggregation import errors as aggregation_errors
from aggregation import rules
from client import errors, plan
from ledger import history, statements

_ALL = range(1, 2**16)


def least(agreed: plan.Plan) -> int:
    """The fewest offers that a seal may list while others could still offer: the plan's minimum, or what its rule needs.

    Reference: docs/protocol.md P8.
    """
    rule = agreed.rule
    needed = _ALL[bisect.bisect_left(_ALL, True, hi=len(_ALL) - 1, key=lambda count: _suffice(rule, count))]
    return agreed.cohort.minimum or needed


def require(agreed: plan.Plan) -> None:
    """Nothing, if the plan's rule works with as many holders as its rounds have, and with as few offers as they may have.

    Raises:
        RuleError: it does not work with that many.
        PlanError: its rounds never have the minimum of offers, or the minimum is below what the rule needs.

    Reference: docs/protocol.md P7.
    """
    rule, cohort = agreed.rule, agreed.cohort
    minimum = least(agreed)
    most = cohort.size or (agreed.task.holders if cohort.members == "fixed" else minimum)
    rules.check(rule.name, rule.pre, most, rule.byzantine)
    if minimum > most:
        raise errors.PlanError(f"cohort.minimum is {minimum}, expected at most the {most} holders of a round")
    try:
        rules.check(rule.name, rule.pre, minimum, rule.byzantine)
    except aggregation_errors.RuleError as error:
        raise errors.PlanError(f"cohort.minimum is {minimum}, too few for the plan's rule: {error}") from error


def holders(known: history.History) -> tuple[str, ...]:
    """The members that may be in a cohort, sorted: holders that are not revoked."""
    return tuple(
        sorted(each.name for each in known.members.values() if each.role == "holder" and each.revoked_at is None)
    )


def unanswered(known: history.History) -> tuple[str, ...]:
    """Members of the open round's cohort that could still offer: they have not, have not declined, and are not revoked."""
    record = known.current
    if record is None:
        return ()
    answered = record.offers.keys() | record.declined.keys()
    return tuple(name for name in record.open.cohort if name not in answered and known.members[name].revoked_at is None)


def lawful(known: history.History, seal: statements.RoundSeal, *, minimum: int) -> bool:
    """Whether an open round may be sealed with this list.

    Args:
        known: the ledger before the seal.
        seal: the list.
        minimum: as `least` gives it.

    Reference: docs/protocol.md P8.
    """
    return len(seal.offers) >= minimum or (len(seal.offers) == len(known.offers) and not unanswered(known))


def _suffice(rule: plan.RulePlan, count: int) -> bool:
    try:
        rules.check(rule.name, rule.pre, count, rule.byzantine)
    except aggregation_errors.TooFewError:
        return False
    except aggregation_errors.RuleError:
        return True  # not too few of them: what else is wrong, `least` tells
    return True
