"""What scorers say of a round, where holders judge its candidates on rows of their own: commitments, their close, reveals.

The coordinator's word lies between the two phases, so that no scorer can end the first one by revealing early.
"""

from dataclasses import dataclass
from typing import TypeAlias

from ledger import fields


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCommit:
    """A scorer binds itself to its scores, which nobody can read yet, of the `candidates` that have this digest."""

    author: fields.Name
    run: fields.Hex64
    round: fields.Positive
    candidates: fields.Hex64
    commitment: fields.Hex64


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreClose:
    """The coordinator takes no more commitments in this round: scores may be revealed."""

    author: fields.Name
    run: fields.Hex64
    round: fields.Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreReveal:
    """A scorer shows its scores, one a candidate in micro-nats, and the salt of its commitment."""

    author: fields.Name
    run: fields.Hex64
    round: fields.Positive
    salt: fields.Hex64
    scores: fields.Scores


Said: TypeAlias = ScoreCommit | ScoreClose | ScoreReveal
