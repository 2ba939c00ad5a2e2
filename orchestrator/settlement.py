"""What a sealed round comes to: verdicts, aggregate, checkpoint and credit, as a function of public bytes and one identity.

The coordinator settles a round to commit it; an auditor settles it again and compares. Both call this module, so that there is
one meaning of a round (docs/protocol.md P12-P14, P29).

    offers -> open each -> accepted rows, sorted by member, int16 (clients, dim)
           -> rule -> refine -> aggregate, int32 (dim)  -> outer step -> files of state and checkpoint -> CID
           -> scores and rulings -> credit (orchestrator.crediting)
"""

import dataclasses
import functools
import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from aggregation import lattice
from client import agreement, checkpoint, training, update
from exchange import errors as exchange_errors
from exchange import store as stores
from exchange import tensors, unixfs
from ledger import history, rounds, statements, transfers
from orchestrator import aggregate, crediting, fold, jury, matrix, optimizer, scorebook

MOST = 2**53 - 1
UNAVAILABLE = (exchange_errors.BlockMissingError.code, exchange_errors.BlockCorruptError.code)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A sealed round, worked out.

    Attributes:
        accepted: members whose updates count, sorted.
        rejected: every other member of the cohort with its reason code, sorted.
        details: for a rejected member, the reason in words; not part of the record.
        aggregate_file: safetensors of the int32 aggregate, in 1/256 of a lattice step.
        aggregate: CID of that file.
        standing_file: the members' standing after the round; None if the rule keeps none.
        book: of the round's scores; None if the plan keeps none.
        book_file: the same as a file.
        sketches_file: what the book keeps of the round's updates; None without a book.
        state_file: what the outer optimizer remembers after the round; None for nothing.
        checkpoint_file: the new model.
        checkpoint: the same, parsed.
        credit: micro-credits by accepted member, summing to the plan's pool, or to what its price or cap leaves of it.
    """

    accepted: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]
    details: Mapping[str, str]
    aggregate_file: bytes
    aggregate: str
    standing_file: bytes | None
    book: scorebook.Book | None
    book_file: bytes | None
    sketches_file: bytes | None
    state_file: bytes | None
    checkpoint_file: bytes
    checkpoint: checkpoint.Checkpoint
    credit: Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The statements that end a round; `disclose` is None where the plan keeps the round's identity secret."""

    commit: statements.RoundCommit
    credit: statements.CreditTransfer
    disclose: statements.RoundDisclose | None


def settle(
    agreed: agreement.Agreement,
    opening: statements.RoundOpen,
    offers: Sequence[statements.UpdateOffer],
    identity: str,
    parent: checkpoint.Checkpoint,
    store: stores.Store,
    unavailable: Mapping[str, str] = MappingProxyType({}),
    finished: rounds.RoundRecord | None = None,
    *,
    declined: Collection[str] = (),
    ask: jury.Ask = jury.nobody,
) -> Settlement:
    """The outcome that the plan prescribes for a sealed round.

    Args:
        agreed: the run.
        opening: the round.
        offers: the sealed ones, at most one a member.
        identity: text of the age identity that the round's updates are sealed to.
        parent: the checkpoint the round started from.
        store: where ciphertext, and what earlier rounds left, is read from.
        unavailable: members whose ciphertext could not be had when the round was committed, with the reason recorded then;
            an auditor takes it as it stands, since whether bytes could be had is nothing that can be recomputed.
        finished: the round before, None in the first; standing and centered clipping start from what it left.
        declined: members that said in time that they offer nothing.
        ask: what scorers say of the candidates, where the plan has scorers; is called once at most.

    Raises:
        StoreError: the store itself fails; that is nobody's fault but the machine's, and no verdict.
        CheckpointError, ExchangeError: what the outer optimizer remembers cannot be had, or is nothing of the kind.
        RuleError: the plan's rule is not one of ours.
    """
    on = lattice.Lattice(sizes=tuple(s.size for s in agreed.specs), exponents=opening.exponents)
    present = [offer for offer in offers if offer.author not in unavailable]
    most = max(file_limit(agreed), aggregate.MOST_BYTES)
    past = functools.partial(fold.past, agreed, on, finished, functools.partial(store.get, limit=most))
    about = crediting.Round(on=on, parent=parent, finished=finished, ask=ask)
    with matrix.opened(present, agreed, on, identity, store) as (accepted, updates, refused):
        folded = fold.fold(agreed, accepted, updates, identity, past)
        paid = crediting.credited(agreed, about, accepted, updates, folded.values, store)
    read_state = functools.partial(store.get, limit=optimizer.limit(agreed))
    moved = optimizer.step(agreed, opening, parent, folded.values, read_state)
    after = moved.checkpoint_file
    reasons = {name: "declined" if name in declined else "no-offer" for name in opening.cohort if name not in accepted}
    reasons |= dict(unavailable) | {name: error.code for name, error in refused.items()}
    links = {"standing": _named(folded.standing_file), "scores": _named(paid.book_file)}
    file = aggregate.encode(aggregate.Aggregate(values=folded.values, **links), agreed.specs)
    return Settlement(
        accepted=accepted,
        rejected=tuple(sorted(reasons.items())),
        details={name: str(error) for name, error in refused.items()},
        aggregate_file=file,
        aggregate=str(unixfs.of(file)),
        standing_file=folded.standing_file,
        book=paid.book,
        book_file=paid.book_file,
        sketches_file=paid.sketches_file,
        state_file=moved.state_file,
        checkpoint_file=after,
        checkpoint=checkpoint.read(after, str(unixfs.of(after)), agreed.specs),
        credit=paid.amounts,
    )


def read_aggregate(file: bytes, specs: Sequence[tensors.TensorSpec]) -> torch.Tensor:
    """The int32 `(dim,)` aggregate in a file that `settle` made."""
    return aggregate.decode(file, specs).values


def closing(
    outcome: Settlement,
    agreed: agreement.Agreement,
    opening: statements.RoundOpen,
    identity: str,
    judged: training.Judged,
) -> Closing:
    """What the coordinator signs: commit, credit and, if the plan discloses it, the round's identity.

    Args:
        outcome: the round, worked out.
        agreed: the run.
        opening: the round.
        identity: of the round.
        judged: the new checkpoint on the public test set: a claim, which no auditor takes on trust.
    """
    where: Mapping[str, Any] = {"author": agreed.founder, "run": agreed.run, "round": opening.round}
    commit = statements.RoundCommit(
        **where,
        accepted=outcome.accepted,
        rejected=outcome.rejected,
        aggregate=outcome.aggregate,
        checkpoint=outcome.checkpoint.cid,
        correct=judged.correct,
        total=judged.total,
        loss_micro=_micro(judged.loss),
    )
    own, paid = transfers.round_id(opening.round), transfers.payment(outcome.credit)
    transfer = statements.CreditTransfer(**where, id=own, code="round", reverses="", postings=paid)
    disclosed = agreed.plan.disclosure == "public"
    disclose = statements.RoundDisclose(**where, identity=identity) if disclosed else None
    return Closing(commit=commit, credit=transfer, disclose=disclose)


def sealed_offers(known: history.History) -> list[statements.UpdateOffer]:
    """The offers that the open round's seal lists."""
    counted = set(known.seal.offers) if known.seal is not None else set()
    return [offer for seq, offer in known.offers.values() if seq in counted]


def update_limit(agreed: agreement.Agreement) -> int:
    """Bytes that a sealed update of this run may have."""
    return update.limit(sum(spec.size for spec in agreed.specs))


def file_limit(agreed: agreement.Agreement) -> int:
    """Bytes that a checkpoint or an aggregate of this run may have."""
    return 4 * sum(spec.size for spec in agreed.specs) + 2**20


def _named(file: bytes | None) -> str:
    return "" if file is None else str(unixfs.of(file))


def _micro(value: float) -> int:
    """A metric in millionths; what is no number, or too large for the ledger, is the greatest it can say."""
    return min(round(value * 1_000_000), MOST) if math.isfinite(value) else MOST
