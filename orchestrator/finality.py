"""Which rounds are final, and what each aggregator said of them.

    final   the commit has at least as many cosignatures as the plan asks for (`cohort.cosignatures`; 0 asks for none)

Whoever is silent, or comes to something else, is named. It changes nothing about the round (docs/protocol.md P26).
"""

import dataclasses
from collections.abc import Mapping

from ledger import history, rounds
from orchestrator import findings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What was said of one commit.

    Attributes:
        round: whose.
        cosigned: aggregators that came to the same.
        disputed: those that did not -> reason code.
        silent: those that could open its updates, are members still, and have said nothing.
    """

    round: int
    cosigned: frozenset[str]
    disputed: Mapping[str, str]
    silent: frozenset[str]

    @classmethod
    def of(cls, record: rounds.RoundRecord, known: history.History) -> "Words":
        """What the log says of a round that was committed."""
        active = {name for name in record.readers if known.members[name].revoked_at is None}
        return cls(
            round=record.open.round,
            cosigned=record.cosigned,
            disputed=dict(record.disputed),
            silent=frozenset(active - record.cosigned - record.disputed.keys()),
        )

    def final(self, needed: int) -> bool:
        """Whether there are as many cosignatures as the plan asks for."""
        return len(self.cosigned) >= needed

    @property
    def sentence(self) -> str:
        """For people: who has not cosigned, and why."""
        said = [f"{name} disputes it ({reason})" for name, reason in sorted(self.disputed.items())]
        said += [f"{name} is silent" for name in sorted(self.silent)]
        return ", ".join(said) or "nobody is left to cosign"


class Tally:
    """What was said of all commits of a log, entry by entry."""

    def __init__(self) -> None:
        self._words: dict[int, Words] = {}

    def heard(self, known: history.History) -> None:
        """Take up what a log says now; only its two latest rounds can have changed."""
        for record in (known.finished, known.current):
            if record is not None and record.commit is not None:
                self._words[record.open.round] = Words.of(record, known)

    def final(self, needed: int) -> str:
        """The rounds that are final, such as `1-28, 30`."""
        return findings.spans([number for number, words in self._words.items() if words.final(needed)])

    def pending(self, needed: int) -> int:
        """How many rounds are not final."""
        return sum(not words.final(needed) for words in self._words.values())

    def aggregators(self) -> dict[str, str]:
        """What each aggregator that had something to say has said, a phrase by name."""
        kinds: dict[str, dict[str, list[int]]] = {}
        for number, words in self._words.items():
            said = dict.fromkeys(words.cosigned, "cosigned") | dict.fromkeys(words.silent, "silent in")
            said |= {name: f"disputes the {reason} of" for name, reason in words.disputed.items()}
            for name, kind in said.items():
                kinds.setdefault(name, {}).setdefault(kind, []).append(number)
        return {
            name: "; ".join(f"{kind} {findings.spans(numbers)}" for kind, numbers in sorted(kinds[name].items()))
            for name in sorted(kinds)
        }
