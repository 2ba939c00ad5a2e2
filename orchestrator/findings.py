"""What an audit finds: a report, or the first difference between what is on record and what it comes to."""

import dataclasses
from collections.abc import Collection, Mapping

from ledger import statements, transfers
from orchestrator import errors, jury, scorebook, settlement

CODES = {"aggregate": "aggregate", "checkpoint": "checkpoint"}
"""Fields of a commit whose difference has a code of its own."""
MOST_NAMED = 5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An audit that found no difference.

    Attributes:
        checked: how many of each kind were checked or recomputed.
        run: hex eid of the genesis.
        coordinator: fingerprint of the key that signed it; whose key that is, the reader must know.
        planned: rounds of the plan.
        rounds: committed.
        left_out: offers that were on the log in time and that the coordinator did not seal.
        cosignatures: that the plan asks for.
        final: the rounds that have as many, such as `1-28, 30`.
        pending: how many rounds do not.
        aggregators: what each aggregator has said of the rounds whose updates it could open, by name.
        lingering: identities of aggregators that should have been destroyed by the plan, by name.
        reversals: transfers that take a round's credit back.
        taken_back: round -> why its credit was taken back: the operator's word, empty where it says nothing.
        unheard: rounds in which a scorer was left out, by its name and why (docs/protocol.md P30).
        unsigned: entries after the last signed checkpoint of the log, which nobody vouches for yet.
        on_word: updates that were rejected because their bytes could not be had, which nobody can recompute.
        recomputed: rounds worked out again from their ciphertext; fewer than `rounds` where identities were not disclosed.
        destroyed: the rounds whose identities are destroyed, as the coordinator says, such as `1-28, 30`; not recomputed.
        overdue: rounds whose identities should have been destroyed by the plan, and are not on the log as such.
        before: how the published checkpoint stands to what was accepted of this log before; empty if nobody looked.
        witnesses: when each witness of the given policy cosigned it, in seconds since 1970, by name.
        checkpoint: CID of the last model.
        head: hash of the last entry.
        seconds: wall time.
    """

    checked: Mapping[str, int]
    run: str
    coordinator: str
    planned: int
    rounds: int
    left_out: int
    recomputed: int
    destroyed: str
    overdue: int
    on_word: int
    cosignatures: int
    final: str
    pending: int
    aggregators: Mapping[str, str]
    lingering: Mapping[str, int]
    reversals: int
    taken_back: Mapping[int, str]
    unheard: Mapping[str, int]
    unsigned: int
    before: str
    witnesses: Mapping[str, int]
    checkpoint: str
    head: str
    seconds: float


def spans(numbers: Collection[int]) -> str:
    """Round numbers, ascending, neighbours drawn together: `1-28, 30`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def verdicts(commit: statements.RoundCommit, outcome: settlement.Settlement) -> None:
    """Nothing, if every member's verdict is the recomputed one.

    Raises:
        AuditError: one is not; the message names the member, both verdicts and why.
    """
    recorded = dict.fromkeys(commit.accepted, "accepted") | dict(commit.rejected)
    again = dict.fromkeys(outcome.accepted, "accepted") | dict(outcome.rejected)
    for member, verdict in recorded.items():
        if again.get(member) != verdict:
            why = f" ({outcome.details[member]})" if member in outcome.details else ""
            message = f"round {commit.round}: {member} is on record as {verdict}, recomputed as {again.get(member)}"
            raise errors.AuditError(message + why, "accepted")


def books(number: int, recorded: scorebook.Book, again: scorebook.Book) -> None:
    """Nothing, if a book of scores on record is the recomputed one.

    Raises:
        AuditError: it is not; the message names the first scorer whose verdict differs, or the first member whose line does.
    """
    written, found = ((each.heard or jury.NOBODY).verdicts for each in (recorded, again))
    for name in sorted(written.keys() | found.keys()):
        if written.get(name) != found.get(name):
            verdicts = f"{written.get(name)}, recomputed {found.get(name)}"
            raise errors.AuditError(f"round {number}: the scorer {name} is on record as {verdicts}", "credit")
    for member in sorted(recorded.members.keys() | again.members.keys()):
        said, is_so = recorded.members.get(member), again.members.get(member)
        if said != is_so:
            message = f"round {number}: {member} is on record with {_spelled(said)}, recomputed {_spelled(is_so)}"
            raise errors.AuditError(message, "credit")
    if recorded != again:
        raise errors.AuditError(f"round {number}: the book of scores is not the recomputed one", "credit")


def payments(number: int, recorded: statements.CreditTransfer, again: statements.CreditTransfer) -> None:
    """Nothing, if a round's payment on record is the recomputed one.

    Raises:
        AuditError: it is not; the message names the members whose postings differ, the first of them if they are many.
    """
    said, is_so = transfers.changes(recorded.postings), transfers.changes(again.postings)
    other = [name for name in sorted(said.keys() | is_so.keys()) if said.get(name, 0) != is_so.get(name, 0)]
    if other:
        lines = [f"{name} {said.get(name, 0)}, recomputed {is_so.get(name, 0)}" for name in other[:MOST_NAMED]]
        more = f"; and {len(other) - MOST_NAMED} more" if len(other) > MOST_NAMED else ""
        raise errors.AuditError(f"round {number}: credit says postings {'; '.join(lines)}{more}", "credit")
    same(number, "credit", recorded, again)


def _spelled(line: scorebook.Line | None) -> str:
    if line is None:
        return "no score"
    return f"score {line.score} ({line.ruling}, party of {line.party}, T {line.chance})"


def same(number: int, what: str, recorded: statements.Predicate, again: statements.Predicate) -> None:
    """Nothing, if a statement on record is the recomputed one.

    Raises:
        AuditError: it is not; the message names the first field that differs.
    """
    for field in dataclasses.fields(recorded):
        said, is_so = getattr(recorded, field.name), getattr(again, field.name)
        if said != is_so:
            message = f"round {number}: {what} says {field.name} {said!r}, recomputed {is_so!r}"
            raise errors.AuditError(message, CODES.get(field.name, "accepted") if what == "commit" else what)
