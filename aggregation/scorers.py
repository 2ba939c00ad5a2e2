"""Cross-holder scoring: holders judge candidates on their own held-out data, and a minority of liars moves next to nothing.

Where there is no public test set, consenting holders evaluate the round's candidates on examples that they never train on, and
each says one whole number for each candidate. Two phases, so that nobody answers what others said:

    commit    sha256("folkmoot/score/v1" LF run LF round LF scorer LF salt-hex LF scores, decimal, joined by ",")
    reveal    salt and scores; a reveal that does not hash to its commitment does not count, nor does one without

A score is a gain, parent's loss less candidate's, in micro-nats: a whole number that may be negative.

The revealed columns are combined, candidate by candidate, by the *clipped weighted median*, Yuma's rule with kappa = 1/2:

    Wbar_j = max w : sum_i S_i [W_ij >= w] >= S / 2             the greatest value that half of the weight stands behind
    R_j = sum_i S_i min(W_ij, Wbar_j) / S                       what is above is cut to it

**Bound.** With f liars of n equal scorers, f < n / 2, and honest scores of candidate j in descending order h_1 >= ... >= h_m,
m = n - f, let q = ceil(n / 2). A value w stands if q scorers say at least w. Liars who vote low leave h_q; liars who vote high
still need q - f honest scores as high. So

    h_q <= Wbar_j <= h_(q-f)        (q - f >= 1, since f < n / 2)

and nobody gets more by lies than what some honest scorer gave it. Who says nothing is left out, and q is that of the others:
with the silent counted among the f, the result stays within the same bounds, since q falls by half of how many they are.
R_j is at most Wbar_j too, but each liar can take 1 / n of the range off it: so the *median* is what is paid by.

Reference:
    subtensor, docs/consensus.md (Yuma consensus). Minsker 2015, "Geometric median and robust estimation in Banach spaces" (why
    a median of scorers holds). docs/protocol.md P30.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch

DOMAIN, CANDIDATES = "folkmoot/score/v1", "folkmoot/candidates/v1"
VERDICTS = ("counted", "silent", "unrevealed", "otherwise", "misfit")
"""Of a scorer: also that it said nothing, did not reveal, revealed something else, or scored other candidates."""
SALT_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Reveal:
    """What a scorer says in the second phase.

    Attributes:
        salt: 32 random bytes.
        scores: One a candidate, whole numbers.
    """

    salt: bytes
    scores: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """What the revealed scores come to, one a candidate.

    Attributes:
        medians: Wbar: the greatest value that half of the weight stands behind.
        means: R: the mean of the scores cut to it.
    """

    medians: tuple[int, ...]
    means: tuple[Fraction, ...]


def commitment(run: str, number: int, scorer: str, reveal: Reveal) -> str:
    """Returns the hex digest that a scorer signs before anybody's scores are known.

    Raises:
        ValueError: If the salt is not of 32 bytes: short ones can be guessed, and with them the scores.
    """
    if len(reveal.salt) != SALT_BYTES:
        raise ValueError(f"a salt of {len(reveal.salt)} bytes: expected {SALT_BYTES}")
    said = ",".join(map(str, reveal.scores))
    return hashlib.sha256(f"{DOMAIN}\n{run}\n{number}\n{scorer}\n{reveal.salt.hex()}\n{said}".encode()).hexdigest()


def digest(models: torch.Tensor) -> str:
    """The hex digest that names candidates: float32 `(candidates, dim)`, the parent's weights first."""
    data = models.contiguous().numpy().astype("<f4", copy=False)
    return hashlib.sha256(f"{CANDIDATES}\n{len(models)}\n".encode() + data.tobytes()).hexdigest()


def verdict(run: str, number: int, scorer: str, bound: str | None, reveal: Reveal | None, candidates: int) -> str:
    """One of VERDICTS: `counted`, or why a scorer is left out.

    Args:
        run: hex eid of the run.
        number: of the round.
        scorer: its name.
        bound: what it committed to, hex; None for nothing.
        reveal: what it revealed; None for nothing.
        candidates: how many there are to score.
    """
    if bound is None:
        return "silent"
    if reveal is None:
        return "unrevealed"
    if commitment(run, number, scorer, reveal) != bound:
        return "otherwise"
    return "counted" if len(reveal.scores) == candidates else "misfit"


def quorate(counted: int, scorers: int) -> bool:
    """Whether those that count are more than half of the plan's scorers: with fewer, liars could be the majority."""
    return 2 * counted > scorers


def combine(scores: Sequence[Sequence[int]], weights: Sequence[int]) -> Combined:
    """Returns the clipped weighted median and mean of each candidate.

    Args:
        scores: A row for each scorer, at least one, a column for each candidate.
        weights: Of the scorers, > 0; equal for one organisation one vote.

    Reference:
        subtensor, docs/consensus.md, with kappa = 1/2.
    """
    if not scores or len(weights) != len(scores) or min(weights) <= 0:
        raise ValueError(f"{len(scores)} scorers with weights {list(weights)}: expected one positive weight each")
    total, medians, means = sum(weights), [], []
    for column in zip(*scores, strict=True):
        median = max(w for w in column if 2 * sum(s for s, v in zip(weights, column, strict=True) if v >= w) >= total)
        medians.append(median)
        cut = sum(s * min(v, median) for s, v in zip(weights, column, strict=True))
        means.append(Fraction(cut, total))
    return Combined(medians=tuple(medians), means=tuple(means))


def bounds(honest: Sequence[int], liars: int) -> tuple[int, int]:
    """Returns the least and the greatest median that so many liars can make of these honest scores of one candidate.

    Args:
        honest: The honest scores.
        liars: f, fewer than the honest.
    """
    ranked, needed = sorted(honest, reverse=True), -(-(len(honest) + liars) // 2)
    if liars >= len(honest):
        raise ValueError(f"{liars} liars beside {len(honest)} honest scorers: expected fewer than half")
    return ranked[needed - 1], ranked[max(needed - liars, 1) - 1]
