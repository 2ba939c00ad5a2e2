"""Credit by what holders find: candidates are judged on rows that scorers hold out, not on a public test set (P30).

    {..., "held_out":"0.2","scorers":["holder-00","holder-01","holder-02"],"utility":"holders"}      in plan.credit

A plan without these fields is judged on the public test set, and has the bytes that it always had.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from client import errors, plan, section

PUBLIC, HOLDERS = "public", "holders"
UTILITIES = (PUBLIC, HOLDERS)
METHODS = ("single_add", "leave_one_out", "secant_shapley")
"""Methods whose candidates do not depend on what was found of others, so that all are scored at once."""
MOST = 1000
"""Holders of a round: a reveal, one number a candidate, is one statement."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HoldersCreditPlan(plan.CreditPlan):
    """What a round pays, where holders score its candidates.

    Attributes:
        utility: HOLDERS.
        scorers: names of the members that score, ascending, at least three; each consents to hold rows out, and to say numbers.
        held_out: share of a scorer's examples, rounded down, that it never trains on and scores by.
    """

    utility: str
    scorers: tuple[str, ...] = section.within(3, MOST)
    held_out: float = section.within(0.01, 0.9)

    def __post_init__(self) -> None:
        plan.CreditPlan.__post_init__(self)
        if self.utility != HOLDERS:
            raise errors.PlanError(f"credit.utility is {self.utility!r}, expected {HOLDERS} where there are scorers")
        if self.method not in METHODS:
            message = f"credit.method is {self.method} with credit.utility={HOLDERS}"
            raise errors.PlanError(f"{message}, expected one of: {', '.join(METHODS)}")
        if any(left >= right for left, right in itertools.pairwise(self.scorers)):
            raise errors.PlanError(f"credit.scorers is {list(self.scorers)}, expected names, each once, ascending")

    def require(self, agreed: plan.Plan, most: float) -> None:
        """Nothing, if a plan's rounds of at most `most` holders can be paid so.

        Raises:
            PlanError: they cannot: candidates show the updates they are made of, scores have no noise, and no other program
                is asked yet.
        """
        said = f"credit.utility is {HOLDERS}"
        if agreed.disclosure != "public":
            message = f"{said} with disclosure={agreed.disclosure}: scorers are shown models made of single updates"
            raise errors.PlanError(f"{message}, expected disclosure=public")
        if agreed.privacy.noise_multiplier > 0:
            message = f"{said} with privacy.noise_multiplier={agreed.privacy.noise_multiplier}: scores tell of rows"
            raise errors.PlanError(f"{message} without noise, which no epsilon counts: expected 0, or utility={PUBLIC}")
        if agreed.cohort.members != "fixed":
            message = f"{said} in a run that holders join over the network, where scorers cannot be asked yet"
            raise errors.PlanError(f"{message}: choose pool=ray or pool=inprocess, or credit.utility={PUBLIC}")
        if most > MOST:
            raise errors.PlanError(f"{said} for rounds of {most} holders: expected at most {MOST}")


def form(record: object) -> type[plan.CreditPlan]:
    """Which kind of credit a record spells."""
    return HoldersCreditPlan if isinstance(record, Mapping) and "utility" in record else plan.CreditPlan


def configured(values: Mapping[str, Any], names: Sequence[str]) -> plan.CreditPlan:
    """The credit that configuration values describe.

    Args:
        values: the fields of HoldersCreditPlan; without `scorers`, with `utility` HOLDERS, every holder scores.
        names: of the holders.

    Raises:
        PlanError: a value outside its range, or a scorer that is no holder.
    """
    plain = {key: value for key, value in values.items() if key not in ("utility", "scorers", "held_out")}
    utility, scorers = values["utility"], tuple(values["scorers"])
    if utility not in UTILITIES:
        raise errors.PlanError(f"credit.utility is {utility!r}, expected one of: {', '.join(UTILITIES)}")
    if utility == PUBLIC:
        if scorers:
            message = f"credit.scorers is {list(scorers)} with credit.utility={PUBLIC}"
            raise errors.PlanError(f"{message}, expected credit.utility={HOLDERS} with it")
        return plan.CreditPlan(**plain)
    if strangers := sorted(set(scorers) - set(names)):
        raise errors.PlanError(f"credit.scorers names {', '.join(strangers)}, but the holders are {', '.join(names)}")
    chosen = scorers or tuple(names)
    return HoldersCreditPlan(**plain, utility=utility, scorers=chosen, held_out=values["held_out"])


def scored(agreed: plan.Plan) -> HoldersCreditPlan | None:
    """A plan's credit, where holders score; None where a public test set decides."""
    return agreed.credit if isinstance(agreed.credit, HoldersCreditPlan) else None
