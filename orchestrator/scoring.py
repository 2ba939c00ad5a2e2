"""Cross-holder scoring while a run goes on: scorers are asked for commitments, then for reveals, and the log has both.

    candidates -> commitments of all who answer in time -> score.close -> reveals of those who committed -> settlement

Whoever says nothing in time is left out; the settlement names it (docs/protocol.md P30). After a crash those are asked whose
word is not on the log.
"""

import logging
import time
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch

from aggregation import scorers
from client import agreement, errors, groups, plan, scorer, scoringplan, worker
from ledger import canonical, dsse, keys, scores, scoring
from ledger import errors as ledger_errors
from orchestrator import journal, pool

logger = logging.getLogger(__name__)

FORMAT = "folkmoot-scoring/v1"
COMMIT, REVEAL = "commit", "reveal"
PATIENCE = 0.5


class Division:
    """How those that are asked fall into groups: scorers one by one, and holders as a worker divides them.

    Args:
        settings: of the workers.
    """

    def __init__(self, settings: worker.Settings) -> None:
        self._holders = worker.Worker.division(settings)
        self._scorers = groups.OneByOne(settings.members)

    def of(self, asked: Sequence[str], opening: bytes) -> tuple[groups.Group, ...]:
        """The groups, in the round that `opening` opens, or for the request that it is."""
        return (self._holders if _request(opening) is None else self._scorers).of(asked, opening)


class Worker(worker.Worker):
    """A worker whose holders score too."""

    def __init__(self, settings: worker.Settings) -> None:
        super().__init__(settings)
        self._scorers: dict[str, scorer.Scorer] = {}

    @staticmethod
    def division(settings: worker.Settings) -> Any:  # noqa: ANN401  what a pool needs of one
        """How those that are asked fall into groups."""
        return Division(settings)

    def answer(self, group: groups.Group, opening: bytes, file: np.ndarray) -> list[worker.Reply]:
        """As a worker's; to a request for scores, the signed statement of each, as what it offers."""
        asked = _request(opening)
        if asked is None:
            return super().answer(group, opening, file)
        return [self._said(member, asked, file) for member in group.asked]

    def _said(self, member: str, asked: dict[str, Any], file: np.ndarray) -> worker.Reply:
        if member not in self._scorers:
            held, folder = self._examples(member).held, self._settings.holders / member
            if not len(held):
                return worker.Reply(member=member, offer=None, reason="no-rows: too few examples to hold any out")
            key, path = keys.SigningKey.load(folder / "key"), folder / "score.json"
            self._scorers[member] = scorer.Scorer(name=member, key=key, agreed=self._agreed, held=held, path=path)
        own, number = self._scorers[member], asked["round"]
        if asked["phase"] == COMMIT:
            said: dsse.Envelope | None = own.commit(number, _models(file, self._agreed))
        else:
            said = own.reveal(number, asked["candidates"])
        if said is None:
            return worker.Reply(member=member, offer=None, reason="not-committed: these scores are not known here")
        return worker.Reply(member=member, offer=said.to_bytes())


class Scoring:
    """The scoring of one run's rounds.

    Args:
        agreed: the run.
        record: its log.
        workers: who plays the scorers.
    """

    def __init__(self, agreed: agreement.Agreement, record: journal.Journal, workers: pool.Pool) -> None:
        self._agreed, self._journal, self._pool = agreed, record, workers

    def gathered(self, models: torch.Tensor) -> scoring.Scoring:
        """What scorers say of the sealed round's candidates, all of it on the log.

        Args:
            models: float32 `(candidates, dim)`, the parent's weights first.
        """
        credit = scoringplan.scored(self._agreed.plan)
        if credit is None:
            return scoring.NONE
        candidates = scorers.digest(models)
        file = models.contiguous().numpy().astype("<f4", copy=False).view(np.uint8).reshape(-1)
        if not self._said.closed:
            self._ask(COMMIT, [name for name in credit.scorers if name not in self._said.committed], candidates, file)
            number = self._journal.history.round + 1
            close = scores.ScoreClose(author=self._agreed.founder, run=self._agreed.run, round=number)
            self._journal.append(*self._journal.sign(close))
        committed = [name for name in credit.scorers if name in self._said.committed]
        hidden = [name for name in committed if name not in self._said.revealed]
        self._ask(REVEAL, hidden, candidates, np.empty(0, dtype=np.uint8))
        return self._said

    @property
    def _said(self) -> scoring.Scoring:
        current = self._journal.history.current
        return scoring.NONE if current is None else current.scorers

    def _ask(self, phase: str, names: Sequence[str], candidates: str, file: np.ndarray) -> None:
        """Have each say its part, as far as it does so before the plan's deadline."""
        if not names:
            return
        number = self._journal.history.round + 1
        record: dict[str, canonical.Json] = {"format": FORMAT, "phase": phase, "round": number}
        self._pool.ask(names, canonical.encode(record | {"candidates": candidates}), file)
        waiting, until = set(names), time.monotonic() + self._agreed.plan.cohort.deadline
        while waiting and time.monotonic() < until:
            replies = self._pool.wait(PATIENCE)
            waiting -= {reply.member for reply in replies}
            self._append(replies)
        _lament(phase, number, waiting)

    def _append(self, replies: Sequence[worker.Reply]) -> None:
        for reply in replies:
            if reply.offer is None:
                logger.warning("%s does not score: %s", reply.member, reply.reason)
        said = [dsse.Envelope.parse(reply.offer) for reply in replies if reply.offer is not None]
        for outcome in self._journal.admit(said) if said else ():
            if isinstance(outcome, ledger_errors.LedgerError):
                logger.warning("scores refused: %s", outcome)


def kind(agreed: plan.Plan) -> type[worker.Worker]:
    """The workers that a plan's holders need."""
    return worker.Worker if scoringplan.scored(agreed) is None else Worker


def _lament(phase: str, number: int, waiting: Collection[str]) -> None:
    if waiting:
        logger.warning("round %s: no %s of scores by %s in time", number, phase, ", ".join(sorted(waiting)))


def _request(said: bytes) -> dict[str, Any] | None:
    """What is asked of scorers; None for an opening, which holders are asked by."""
    record: Any = canonical.decode(said, limit=1 << 20)
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def _models(file: np.ndarray, agreed: agreement.Agreement) -> torch.Tensor:
    dim = sum(spec.size for spec in agreed.specs)
    if file.nbytes % (4 * dim):
        raise errors.CheckpointError(f"candidates of {file.nbytes} bytes, expected some models of {4 * dim}")
    return torch.from_numpy(np.frombuffer(file.tobytes(), dtype="<f4").copy()).reshape(-1, dim)
