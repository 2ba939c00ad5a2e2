"""The holder's consent: default deny. Nothing trains unless each clause here admits it."""

import dataclasses

from client import errors, plan
from ledger import statements


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a holder agreed to.

    Attributes:
        coordinators: fingerprints of the keys whose runs it takes part in.
        tasks: digests of the code and settings that may run on its data (`client.tasks.catalogue.digest`).
        disclosures: ways of disclosing updates for audit that it accepts.
        recipients: how many may read its updates.
        rounds: the last round it takes part in.
        clip_norm: the largest L2 norm of an update that may leave.
    """

    coordinators: frozenset[str]
    tasks: frozenset[str]
    disclosures: frozenset[str]
    recipients: int
    rounds: int
    clip_norm: float


def check(policy: Policy, *, coordinator: str, agreed: plan.Plan, opening: statements.RoundOpen) -> None:
    """Nothing, if the policy admits this round of this plan.

    Args:
        policy: what the holder agreed to.
        coordinator: fingerprint of the key that signed the opening.
        agreed: the run's plan, from its genesis.
        opening: the round on offer.

    Raises:
        RefusalError: some clause says no; `code` is `policy-` and the clause.
    """
    if coordinator not in policy.coordinators:
        raise errors.RefusalError("policy-coordinator", f"coordinator {coordinator} is not one the policy allows")
    if opening.task not in policy.tasks:
        raise errors.RefusalError("policy-task", f"task digest {opening.task} is not one the policy allows")
    if agreed.disclosure not in policy.disclosures:
        raise errors.RefusalError("policy-disclosure", f"disclosure {agreed.disclosure!r} is not one the policy allows")
    if len(opening.recipients) > policy.recipients:
        readers = f"{len(opening.recipients)} recipients could read the update, the policy allows {policy.recipients}"
        raise errors.RefusalError("policy-recipients", readers)
    if opening.round > policy.rounds:
        raise errors.RefusalError("policy-rounds", f"round {opening.round} is past the policy's last, {policy.rounds}")
    if agreed.privacy.clip_norm > policy.clip_norm:
        limit = f"{agreed.privacy.clip_norm} is above the policy's bound, {policy.clip_norm}"
        raise errors.RefusalError("policy-clip-norm", f"an update norm of up to {limit}")
