"""What a run came to, read back from its ledger: the numbers of the final table, of `--json` and of the plots."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from ledger import history, log, statements


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HolderSummary:
    """One member over all rounds.

    Attributes:
        accepted: rounds in which its update counted.
        rejected: number of rounds by reason code.
        credit: micro-credits.
    """

    accepted: int
    rejected: Mapping[str, int]
    credit: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A run as far as it has come.

    Attributes:
        run: hex eid of the genesis.
        rounds: committed.
        planned: rounds of the plan.
        checkpoint: CID of the latest model.
        accuracy: share of the public test set that each round's model got right.
        loss: its mean cross-entropy, in nats.
        holders: by name.
        entries: size of the log.
        head: hash of its last leaf.
    """

    run: str
    rounds: int
    planned: int
    checkpoint: str
    accuracy: tuple[float, ...]
    loss: tuple[float, ...]
    holders: Mapping[str, HolderSummary]
    entries: int
    head: str

    def to_record(self) -> dict[str, Any]:
        """The summary as a JSON object."""
        return dataclasses.asdict(self)


def read(record: log.Log) -> Summary:
    """The summary of the run on an open log.

    Raises:
        LedgerError: the log is damaged, or says what it may not.
    """
    known = history.EMPTY
    commits: list[statements.RoundCommit] = []
    planned = 0
    for entry in record.entries():
        known = history.apply(known, entry.seq, entry.envelope)
        statement = statements.parse(entry.envelope.payload)
        if isinstance(statement, statements.RoundCommit):
            commits.append(statement)
        elif isinstance(statement, statements.Genesis):
            planned = int(str(statement.plan["rounds"]))
    holders = [name for name, member in known.members.items() if member.role == "holder"]
    return Summary(
        run=known.run or "",
        rounds=known.round,
        planned=planned,
        checkpoint=known.checkpoint or "",
        accuracy=tuple(commit.correct / commit.total for commit in commits),
        loss=tuple(commit.loss_micro / 1_000_000 for commit in commits),
        holders={name: _holder(name, commits, known.balances.get(name, 0)) for name in sorted(holders)},
        entries=record.size,
        head=record.head,
    )


def _holder(name: str, commits: Iterable[statements.RoundCommit], credit: int) -> HolderSummary:
    accepted, rejected = 0, collections.Counter[str]()
    for commit in commits:
        accepted += name in commit.accepted
        rejected.update(reason for member, reason in commit.rejected if member == name)
    return HolderSummary(accepted=accepted, rejected=dict(sorted(rejected.items())), credit=credit)
