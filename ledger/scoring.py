"""Cross-holder scoring of a sealed round, as the log tells it: commit|commit ... close reveal|reveal ...

Only the scorers that the plan names have a say, each once in each phase. What a reveal is worth is not decided here: whether it
is what was committed to is for whoever settles the round (docs/protocol.md P30).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ledger import errors, scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """What scorers have said of a round so far.

    Attributes:
        committed: scorer -> its commitment.
        closed: whether the coordinator takes no more of them.
        revealed: scorer -> its scores.
    """

    committed: Mapping[str, scores.ScoreCommit] = field(default_factory=lambda: MappingProxyType({}))
    closed: bool = False
    revealed: Mapping[str, scores.ScoreReveal] = field(default_factory=lambda: MappingProxyType({}))


NONE = Scoring()


def scorers(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """The members that a plan names as scorers; none where it does not have any."""
    named = plan["credit"].get("scorers", ())
    return tuple(each for each in named if isinstance(each, str)) if isinstance(named, (list, tuple)) else ()


def heard(said: Scoring, statement: scores.Said, *, plan: Mapping[str, Any], coordinator: str | None) -> Scoring:
    """The scoring with one more statement of a sealed round.

    Raises:
        HistoryError: `not-entitled`, `out-of-order`, `not-committed`, `duplicate-score` (the same again) or `equivocation`
            (something else than before).

    Reference: docs/protocol.md P6, P30.
    """
    named = (coordinator,) if isinstance(statement, scores.ScoreClose) else scorers(plan)
    if statement.author not in named or not scorers(plan):
        message = f"{type(statement).__name__} by {statement.author}, expected one of {list(named)[:5]}"
        raise errors.HistoryError("not-entitled", message)
    if isinstance(statement, scores.ScoreReveal) != said.closed:
        state = "closed" if said.closed else "not closed yet"
        message = f"{type(statement).__name__} while commitments are {state}"
        raise errors.HistoryError("out-of-order", message)
    match statement:
        case scores.ScoreClose():
            return dataclasses.replace(said, closed=True)
        case scores.ScoreCommit():
            return dataclasses.replace(said, committed=_more(said.committed, statement))
        case scores.ScoreReveal():
            if statement.author not in said.committed:
                message = f"{statement.author} reveals scores that it has not committed to"
                raise errors.HistoryError("not-committed", message)
            return dataclasses.replace(said, revealed=_more(said.revealed, statement))


def _more(known: Mapping[str, Any], statement: scores.ScoreCommit | scores.ScoreReveal) -> Mapping[str, Any]:
    earlier = known.get(statement.author)
    if earlier is not None:
        reason = "duplicate-score" if earlier == statement else "equivocation"
        message = f"{statement.author} has said its {type(statement).__name__} in round {statement.round}"
        raise errors.HistoryError(reason, message)
    return MappingProxyType({**known, statement.author: statement})
