"""The terms of a run in words: what a holder is asked to agree to, before anything of it leaves the machine."""

import math

from client import agreement
from client.tasks import catalogue
from exchange import recipients
from ledger import history, statements

DISCLOSED = {
    "public": "after each round its key is published: anybody can then open the updates of that round and recompute it",
    "none": "the readers open the updates and do not publish their keys; nobody else can recompute a round",
}
"""What each disclosure means for a holder."""


def words(agreed: agreement.Agreement, known: history.History) -> tuple[tuple[str, str], ...]:
    """The terms, a (label, sentence) each.

    Args:
        agreed: the run.
        known: what its log says so far.
    """
    plan = agreed.plan
    size = sum(each.size for each in agreed.specs)
    return (
        ("run", agreed.run),
        ("coordinator", f"{agreed.founder}, {agreed.coordinator.fingerprint}"),
        ("task", f"{plan.task.name}, {size:,} parameters, code and settings {catalogue.digest(plan.task)}"),
        ("rounds", f"{plan.rounds}, of which {known.round} are done"),
        (
            "what leaves",
            "a sealed update each round, the number of your examples, and the kind of machine it was trained on",
        ),
        ("norm", _norm(plan.privacy.clip_norm)),
        ("noise", _noise(plan.privacy.noise_multiplier)),
        ("readers", _readers(known)),
        ("disclosure", f"{plan.disclosure}: {DISCLOSED[plan.disclosure]}"),
    )


def prospect(agreed: agreement.Agreement, known: history.History, name: str) -> statements.RoundOpen:
    """The open round; between rounds the next one as the plan has it, sealed to readers who are not known yet."""
    if known.open_round is not None and known.phase == history.Phase.OPEN:
        return known.open_round
    return statements.RoundOpen(
        author=agreed.founder,
        run=agreed.run,
        round=known.round + 1,
        parent=known.checkpoint or agreed.checkpoint,
        cohort=(name,),
        recipients=tuple(str(recipients.X25519Identity.generate().recipient) for _ in range(readers(known))),
        exponents=tuple(0 for _ in agreed.specs),
        task=catalogue.digest(agreed.plan.task),
        rule=agreed.plan.rule.digest(),
        deadline=agreed.plan.cohort.deadline,
    )


def _norm(bound: float) -> str:
    return "an update is not clipped" if math.isinf(bound) else f"an update is clipped to an L2 norm of {bound:g}"


def _noise(multiplier: float) -> str:
    if multiplier == 0:
        return "none: an update can tell about single examples"
    return f"Gaussian, of {multiplier:g} times the norm on each number, before anything leaves"


def aggregators(known: history.History) -> tuple[str, ...]:
    """The aggregators that a log has now, sorted."""
    members = known.members.values()
    return tuple(sorted(each.name for each in members if each.role == "aggregator" and each.revoked_at is None))


def readers(known: history.History) -> int:
    """How many may read an update: the coordinator and the aggregators that there are, or as many as the open round has."""
    opened = known.open_round
    return max(1 + len(aggregators(known)), 1 if opened is None else len(opened.recipients))


def _readers(known: history.History) -> str:
    others = aggregators(known)
    if not others:
        return "1 key each round, the coordinator's"
    return f"{readers(known)} keys each round, the coordinator's and those of the aggregators {', '.join(others)}"
