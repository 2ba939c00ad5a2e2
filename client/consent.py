"""Whether a policy admits a round: one judgement a clause, which `check` enforces and `explain` shows."""

import dataclasses
import datetime as dt
import functools
from collections.abc import Iterator
from typing import NamedTuple, Self

import torch

from client import accountant, agreement, environment, errors, plan, policy, spending, update
from exchange import recipients, sealing, tensors
from ledger import dsse, statements


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What is asked of a holder, and where it stands.

    Attributes:
        coordinator: fingerprint of the key that signed the opening.
        agreed: the run's plan, from its genesis.
        opening: the round on offer.
        environment: digest of the software here.
        spent: all that left before.
        fresh: whether an update would be made; an offer that is announced again spends nothing more.
        size: bytes of the update.
    """

    coordinator: str
    agreed: plan.Plan
    opening: statements.RoundOpen
    environment: str
    spent: spending.Spent
    fresh: bool
    size: int

    @classmethod
    def of(
        cls, agreed: agreement.Agreement, opening: statements.RoundOpen, spent: spending.Spent, *, fresh: bool = True
    ) -> Self:
        """What a round of a run asks of this machine.

        Raises:
            KeyTextError: a recipient of the opening is none.
        """
        return cls(
            coordinator=agreed.coordinator.fingerprint,
            agreed=agreed.plan,
            opening=opening,
            environment=environment.digest(),
            spent=spent,
            fresh=fresh,
            size=_size(agreed.specs, opening.recipients),
        )


@functools.lru_cache(maxsize=8)
def _size(specs: tuple[tensors.TensorSpec, ...], readers: tuple[str, ...]) -> int:
    """Bytes of an update, the same for all holders of a round."""
    integers = torch.empty(sum(spec.size for spec in specs), dtype=torch.int16)
    file = sum(len(piece) for piece in update.pieces(integers, specs, context=bytes(32)))
    return sealing.sealed_size(file, recipients=[recipients.parse_recipient(text) for text in readers])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A round that a holder takes part in.

    Attributes:
        occasion: what its policy admitted.
        known: the offer already made to the round, or None.
    """

    occasion: Occasion
    known: dsse.Envelope | None


class Verdict(NamedTuple):
    """What one clause says of a round: its name, whether it admits the round, and a sentence for people."""

    clause: str
    admitted: bool
    sentence: str


def explain(consent: policy.Policy, occasion: Occasion) -> tuple[Verdict, ...]:
    """The verdict of each clause, in the policy's order."""
    return tuple(_verdicts(consent, occasion))


def check(consent: policy.Policy, occasion: Occasion) -> None:
    """Nothing, if the policy admits this round of this plan.

    Raises:
        RefusalError: some clause says no; `code` is `policy-` and the clause, hyphens for its underscores.
    """
    for clause, admitted, sentence in _verdicts(consent, occasion):
        if not admitted:
            raise errors.RefusalError(f"policy-{clause.replace('_', '-')}", sentence)


def _verdicts(consent: policy.Policy, occasion: Occasion) -> Iterator[Verdict]:
    yield _among("coordinators", "coordinator", occasion.coordinator, consent.coordinators)
    yield _among("tasks", "task digest", occasion.opening.task, consent.tasks)
    yield _among("environments", "environment digest", occasion.environment, consent.environments)
    yield _among("disclosures", "disclosure", occasion.agreed.disclosure, consent.disclosures)
    readers = len(occasion.opening.recipients)
    yield _at_most("recipients", f"{readers} could read the update", readers, consent.recipients)
    yield from _rounds(consent, occasion)
    today = dt.datetime.fromtimestamp(occasion.spent.now, dt.UTC).date()
    until = f"today is {today}, the policy's last day {consent.expires}"
    yield Verdict("expires", today <= consent.expires, until)
    norm = occasion.agreed.privacy.clip_norm
    yield _at_most("clip_norm", f"an update may have an L2 norm of {norm}", norm, consent.clip_norm)
    yield _privacy(consent.privacy, occasion)
    out = occasion.spent.bytes_out + occasion.size * occasion.fresh
    yield _at_most("max_bytes_out", f"{out:,} bytes would have left", out, consent.max_bytes_out)


def _rounds(consent: policy.Policy, occasion: Occasion) -> Iterator[Verdict]:
    this = {(occasion.opening.run, occasion.opening.round)}
    count, today = len(occasion.spent.rounds | this), len(occasion.spent.today | this)
    yield _at_most("rounds", f"this would be round {count} of its own", count, consent.rounds)
    yield _at_most("rounds_per_day", f"this would be round {today} within 24 hours", today, consent.rounds_per_day)


def _privacy(budget: policy.Budget, occasion: Occasion) -> Verdict:
    multiplier = occasion.agreed.privacy.noise_multiplier
    said = f"noise multiplier {multiplier}"
    if budget.epsilon == float("inf"):
        return Verdict("privacy", admitted=True, sentence=f"{said}; the policy asks for no noise")
    after = accountant.epsilon([*occasion.spent.noises, *[multiplier] * occasion.fresh], budget.delta)
    spent = f"{said}: epsilon {after:.6g} would have been spent at delta {budget.delta:g}"
    return _at_most("privacy", spent, after, budget.epsilon)


def _among(clause: str, what: str, value: str, allowed: frozenset[str]) -> Verdict:
    admitted = value in allowed
    said = "one that the policy allows" if admitted else "not one that the policy allows"
    return Verdict(clause, admitted, f"{what} {value} is {said}")


def _at_most(clause: str, said: str, value: float, limit: float) -> Verdict:
    return Verdict(clause, value <= limit, f"{said}, the policy allows {f'{limit:,}' if limit else 'none'}")
