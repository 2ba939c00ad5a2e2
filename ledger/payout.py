"""From scores to micro-credits: what a round pays by the plan's schedule, floor and cap, in integers that add up.

    proportional    the pool, all of it, in proportion to the scores
    linear          `rate` micro-credits for a thousand units of score; if that is more than the pool, in proportion

Nobody without a score above 0 is paid. Then, of the payments, none is below the floor and none above the cap (0: none).
"""

from collections.abc import Mapping
from typing import Any

from ledger import accounts

SCHEDULES = ("proportional", "linear")
UNITS = 1000


def payout(
    scores: Mapping[str, int], *, pool: int, schedule: str, rate: int = 0, floor: int = 0, cap: int = 0
) -> dict[str, int]:
    """Each member's micro-credits, in order of name; in sum at most the pool.

    By `proportional` and without a cap that binds, the sum is the pool exactly, or 0 where nobody has a score. With a cap, what
    the capped do not get goes to the others in proportion; if all are capped, the rest of the pool is not issued.

    Args:
        scores: Member -> score; 0 or less is not paid.
        pool: The most that is paid.
        schedule: One of SCHEDULES.
        rate: With `linear`: micro-credits for 1,000 units of score.
        floor: Least payment to whoever is paid; if the pool does not hold as many floors, an equal part of it.
        cap: Greatest payment, at least `floor`; 0 for none.

    Reference: docs/protocol.md P29.
    """
    paid = {name: score for name, score in sorted(scores.items()) if score > 0}
    nothing = dict.fromkeys(sorted(scores), 0)
    if not paid:
        return nothing
    due = pool if schedule == "proportional" else min(pool, sum(score * rate // UNITS for score in paid.values()))
    least = min(floor, pool // len(paid))
    due = max(due, least * len(paid))
    return nothing | _bounded(due, paid, least, cap or due)


def terms(agreed: Mapping[str, Any]) -> dict[str, Any]:
    """What a plan's `credit` says of the sum of a payment: the pool, and whether all of it is paid or at most that."""
    return {"pool": agreed["pool"], "whole": agreed.get("schedule") != "linear" and not agreed.get("cap")}


def _bounded(due: int, weights: Mapping[str, int], least: int, most: int) -> dict[str, int]:
    """The split of `due`, whoever would get less than `least` or more than `most` being set to it, the worst side first."""
    fixed: dict[str, int] = {}
    free = dict(weights)
    while free:
        left = max(due - sum(fixed.values()), 0)
        shares = accounts.split(left, free)
        over = {name: most for name, share in shares.items() if share > most}
        under = {name: least for name, share in shares.items() if share < least}
        excess = sum(shares[name] - most for name in over)
        lack = sum(least - shares[name] for name in under)
        if not over and not under:
            return fixed | shares
        found = over if excess >= lack else under
        fixed |= found
        free = {name: weight for name, weight in free.items() if name not in found}
    return fixed
