"""What a round's updates are paid: scores, rulings against cheats, and the plan's schedule (docs/protocol.md P29).

    accepted rows -> silent? -> echo? -> of each party the first plays the plan's game -> score > 0? -> parties share -> payout

Scores and rulings are a function of the updates, the plan, public files of earlier rounds and the public test set;
coordinator and auditor call this module, so a score has one value.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence

import torch

from aggregation import credit, lattice, sketch
from client import agreement, appraisal, checkpoint, scoringplan, testset
from exchange import store as stores
from exchange import unixfs
from ledger import payout, rounds
from orchestrator import aggregate, game, jury, scorebook, screening

DRAW = "folkmoot/credit/v1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Credited:
    """What a round pays, and why.

    Attributes:
        amounts: micro-credits by accepted member.
        book: of the scores; None where the plan keeps none.
        book_file: likewise.
        sketches_file: likewise.
    """

    amounts: Mapping[str, int]
    book: scorebook.Book | None = None
    book_file: bytes | None = None
    sketches_file: bytes | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A round, as far as credit depends on it.

    Attributes:
        on: its lattice.
        parent: the model it started from.
        finished: the round before; None in the first.
        ask: what scorers say of the candidates, where the plan has scorers.
    """

    on: lattice.Lattice
    parent: checkpoint.Checkpoint
    finished: rounds.RoundRecord | None
    ask: jury.Ask = jury.nobody


def credited(
    agreed: agreement.Agreement,
    about: Round,
    members: Sequence[str],
    updates: torch.Tensor,
    refined: torch.Tensor,
    store: stores.Store,
) -> Credited:
    """The payments of a round.

    Args:
        agreed: the run.
        about: the round.
        members: who is accepted, ascending.
        updates: theirs, int16 `(clients, dim)`.
        refined: their aggregate, int32 `(dim,)`.
        store: where books, sketches and a public test set of the run's own are read from.

    Raises:
        TaskError: the plan's method evaluates models, and this machine's public data are others than the plan's.
        StoreError: a file cannot be had.

    Reference: docs/protocol.md P29.
    """
    chosen = agreed.plan.credit
    if not chosen.kept:
        judged = screening.unscreened(len(members))
        found = _scored(agreed, about, updates, refined, range(len(members)), store, None)
        return Credited(amounts=_amounts(agreed, _lines(members, judged, found.scores)))
    public = agreed.plan.disclosure == "public"
    seed = int.from_bytes(hashlib.sha256(f"{DRAW}\n{agreed.run}".encode()).digest()[:8])
    width, limit = sketch.width(about.on.dim), book_limit(agreed)
    latest = _latest(agreed, about.finished, store)
    past = scorebook.remembered(latest, width=width, public=public, read=lambda cid: store.get(cid, limit=limit))
    own = sketch.of(about.on, updates, seed=seed) if members else past.aggregates[:0]
    judged = screening.unscreened(len(members))
    if chosen.screened:
        before = [past.chances.get(name, ()) for name in members]
        noisy = agreed.plan.privacy.noise_multiplier > 0
        judged = screening.screen(updates, own, past.vectors, before, agreed.plan.rule.byzantine, noisy=noisy)
    found = _scored(agreed, about, updates, refined, judged.players, store, past.reached)
    lines = _lines(members, judged, found.scores)
    now = sketch.of(about.on, refined.unsqueeze(0), seed=seed)
    aggregates = torch.cat((past.aggregates, now))[-scorebook.ROUNDS :]
    kept = scorebook.Sketches(aggregates=aggregates, updates=own if public else own[:0])
    sketches = scorebook.encode_sketches(kept)
    named = str(unixfs.of(sketches))
    book = scorebook.Book(
        before=latest,
        sketches=named,
        evaluations=found.evaluations,
        members=lines,
        reached=found.reached,
        heard=found.heard,
    )
    return Credited(
        amounts=_amounts(agreed, lines), book=book, book_file=scorebook.encode(book), sketches_file=sketches
    )


def book_limit(agreed: agreement.Agreement) -> int:
    """Bytes that a book of scores, or the sketches it names, may have: 16 KiB for each member that a cohort can have."""
    return scorebook.MOST_BYTES + 2 * sketch.BUCKETS * (agreed.plan.cohort.size or 10_000)


def _latest(agreed: agreement.Agreement, finished: rounds.RoundRecord | None, store: stores.Store) -> str:
    """CID of the book of the round before; empty in the first."""
    if finished is None or finished.commit is None:
        return ""
    limit = 4 * sum(spec.size for spec in agreed.specs) + 2**20
    return aggregate.decode(store.get(finished.commit.aggregate, limit=limit), agreed.specs).scores


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    """The players' scores by row; models evaluated for them; the one that the aggregate leads to; and what scorers said."""

    scores: Mapping[int, int]
    evaluations: int = 0
    reached: game.Reached | None = None
    heard: jury.Heard | None = None


def _scored(
    agreed: agreement.Agreement,
    about: Round,
    updates: torch.Tensor,
    refined: torch.Tensor,
    players: Sequence[int],
    store: stores.Store,
    known: game.Reached | None,
) -> _Scored:
    chosen, scored = agreed.plan.credit, scoringplan.scored(agreed.plan)
    # An aggregate of zeros changed nothing: there is nothing to be paid for.
    if not players or not bool(refined.any()):
        return _Scored(scores={}, heard=jury.NOBODY if scored else None)
    if chosen.method == "gram":
        every = credit.gram_scores(updates, refined)
        return _Scored(scores={row: every[row] for row in players})
    draw = hashlib.sha256(f"{DRAW}\n".encode() + refined.numpy().astype("<i4", copy=False).tobytes()).digest()

    def made(loss: Callable[[torch.Tensor], int], known: game.Reached | None = None) -> game.Game:
        return game.Game(loss, about.on, about.parent.weights, updates[list(players)], refined, known)

    if scored is not None:
        judged = jury.play(agreed, scored, about.parent.round + 1, made, draw, about.ask)
        scores = dict(zip(players, judged.scores, strict=True))
        return _Scored(scores=scores, evaluations=judged.evaluations, heard=judged.heard)
    appraiser = appraisal.Appraiser(agreed.task, testset.load(agreed.task, store), most=chosen.examples)
    played = made(appraiser.loss, known)
    scores = dict(zip(players, played.scores(chosen.method, draw), strict=True))
    return _Scored(scores=scores, evaluations=played.evaluations, reached=played.reached)


def _lines(members: Sequence[str], judged: screening.Screened, scores: Mapping[int, int]) -> dict[str, scorebook.Line]:
    """The book's lines; who would be scored and whose party scores nothing is `opposed`."""
    lines = {}
    for row, name in enumerate(members):
        ruling, party = judged.rulings[row], judged.parties[row]
        score = scores.get(party, 0)
        lines[name] = scorebook.Line(
            score=score,
            ruling="opposed" if ruling == "scored" and score <= 0 else ruling,
            party=members[party],
            chance=judged.chances[row],
        )
    return lines


def _amounts(agreed: agreement.Agreement, lines: Mapping[str, scorebook.Line]) -> dict[str, int]:
    """The payments: each by its score, and of a party by an equal part of it."""
    sizes = collections.Counter(line.party for line in lines.values())
    due = {name: line.score // sizes[line.party] if line.ruling == "scored" else 0 for name, line in lines.items()}
    chosen = agreed.plan.credit
    return payout.payout(due, **{name: getattr(chosen, name) for name in ("pool", "schedule", "rate", "floor", "cap")})
