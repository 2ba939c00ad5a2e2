"""A scorer's part in a round that is sealed: what candidates gain on rows of its own, committed to and then revealed.

    candidates -> gains on held-out rows -> [kept on disk] -> score.commit ... score.close -> score.reveal

Nothing of the rows leaves but one number a candidate (docs/credit.md says what that tells).
"""

import secrets
from pathlib import Path
from typing import Any

import torch

from aggregation import scorers
from client import agreement, appraisal, task
from ledger import canonical, dsse, durable, keys, scores, statements

FORMAT = "folkmoot-score/v1"


class Scorer:
    """One scorer of one run.

    Args:
        name: as enrolled.
        key: signs what it says.
        agreed: the run.
        held: examples that it never trains on, at least one.
        path: file that keeps its last scores, so that after a restart it says the same.
    """

    def __init__(
        self, *, name: str, key: keys.SigningKey, agreed: agreement.Agreement, held: task.Examples, path: Path
    ) -> None:
        self.name = name
        self._key, self._agreed, self._path = key, agreed, path
        self._appraiser = appraisal.Appraiser(agreed.task, held, most=agreed.plan.credit.examples)

    def commit(self, number: int, models: torch.Tensor) -> dsse.Envelope:
        """The signed commitment to the gains of a round's candidates; the scores are on disk before.

        Args:
            number: of the round.
            models: float32 `(candidates, dim)`, the parent's weights first.
        """
        candidates = scorers.digest(models)
        said = self._kept(number, candidates)
        if said is None:
            said = scorers.Reveal(salt=secrets.token_bytes(scorers.SALT_BYTES), scores=self.gains(models))
            self._keep(number, candidates, said)
        bound = scorers.commitment(self._agreed.run, number, self.name, said)
        return self._signed(
            scores.ScoreCommit(
                author=self.name, run=self._agreed.run, round=number, candidates=candidates, commitment=bound
            )
        )

    def reveal(self, number: int, candidates: str) -> dsse.Envelope | None:
        """What it committed to, signed; None where it did not, or no longer knows."""
        said = self._kept(number, candidates)
        if said is None:
            return None
        return self._signed(
            scores.ScoreReveal(
                author=self.name, run=self._agreed.run, round=number, salt=said.salt.hex(), scores=said.scores
            )
        )

    def gains(self, models: torch.Tensor) -> tuple[int, ...]:
        """The parent's loss less that of each candidate, in micro-nats: the same integers on every machine."""
        start, *others = [self._appraiser.loss(weights) for weights in models]
        return tuple(start - loss for loss in others)

    def _kept(self, number: int, candidates: str) -> scorers.Reveal | None:
        if not self._path.exists():
            return None
        kept: Any = canonical.decode(self._path.read_bytes())
        if (kept["run"], kept["round"], kept["candidates"]) != (self._agreed.run, number, candidates):
            return None
        return scorers.Reveal(salt=bytes.fromhex(kept["salt"]), scores=tuple(kept["scores"]))

    def _keep(self, number: int, candidates: str, said: scorers.Reveal) -> None:
        record: dict[str, canonical.Json] = {"format": FORMAT, "run": self._agreed.run, "round": number}
        record |= {"candidates": candidates, "salt": said.salt.hex(), "scores": list(said.scores)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        durable.write(self._path, canonical.encode(record))

    def _signed(self, said: statements.Predicate) -> dsse.Envelope:
        return dsse.sign(statements.build(said), self._key)
