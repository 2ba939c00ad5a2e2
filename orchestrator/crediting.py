"""What a round's updates are paid: scores, rulings against cheats, and the plan's schedule (docs/protocol.md P29).

    accepted rows -> silent? -> echo? -> of each party the first plays the plan's game -> score > 0? -> parties share -> payout

Scores and rulings are a function of the updates, the plan, public files of earlier rounds and the public test set;
coordinator and auditor call this module, so a score has one value.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from aggregation import credit, gram, lattice, novelty, sketch
from client import agreement, appraisal, checkpoint, testset
from exchange import store as stores
from exchange import unixfs
from ledger import payout, rounds
from orchestrator import aggregate, game, scorebook

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
    """

    on: lattice.Lattice
    parent: checkpoint.Checkpoint
    finished: rounds.RoundRecord | None


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
        judged = unscreened(len(members))
        found = _scored(agreed, about, updates, refined, judged.players, store, None)
        return Credited(amounts=_amounts(agreed, _lines(members, judged, found.scores)))
    public = agreed.plan.disclosure == "public"
    seed = int.from_bytes(hashlib.sha256(f"{DRAW}\n{agreed.run}".encode()).digest()[:8])
    width, limit = sketch.width(about.on.dim), book_limit(agreed)
    latest = _latest(agreed, about.finished, store)
    past = scorebook.remembered(latest, width=width, public=public, read=lambda cid: store.get(cid, limit=limit))
    own = sketch.of(about.on, updates, seed=seed) if members else past.aggregates[:0]
    judged = unscreened(len(members))
    if chosen.screened:
        before = [past.chances.get(name, ()) for name in members]
        noisy = agreed.plan.privacy.noise_multiplier > 0
        judged = screen(updates, own, past.vectors, before, agreed.plan.rule.byzantine, noisy=noisy)
    found = _scored(agreed, about, updates, refined, judged.players, store, past.reached)
    lines = _lines(members, judged, found.scores)
    now = sketch.of(about.on, refined.unsqueeze(0), seed=seed)
    aggregates = torch.cat((past.aggregates, now))[-scorebook.ROUNDS :]
    kept = scorebook.Sketches(aggregates=aggregates, updates=own if public else own[:0])
    sketches = scorebook.encode_sketches(kept)
    named = str(unixfs.of(sketches))
    book = scorebook.Book(
        before=latest, sketches=named, evaluations=found.evaluations, members=lines, reached=found.reached
    )
    return Credited(
        amounts=_amounts(agreed, lines), book=book, book_file=scorebook.encode(book), sketches_file=sketches
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """A round's updates before they are scored.

    Attributes:
        rulings: `silent`, `echo` or `scored`, one a row.
        chances: T in thousandths, one a row; -1 where it was not worked out.
        parties: of each row, the first row of its party.
    """

    rulings: Sequence[str]
    chances: Sequence[int]
    parties: Sequence[int]

    @property
    def players(self) -> list[int]:
        """The rows that are scored: of each party the first."""
        return [
            row
            for row, (ruling, party) in enumerate(zip(self.rulings, self.parties, strict=True))
            if ruling == "scored" and party == row
        ]


def unscreened(rows: int) -> Screened:
    """So many rows that are taken as they are."""
    return Screened(rulings=("scored",) * rows, chances=(-1,) * rows, parties=range(rows))


def screen(
    updates: torch.Tensor,
    own: torch.Tensor,
    past: torch.Tensor,
    before: Sequence[Sequence[int]],
    f: int,
    *,
    noisy: bool,
) -> Screened:
    """The rulings on updates, and who is one party.

    Args:
        updates: int16 `(clients, dim)`.
        own: their sketches.
        past: sketches of what was public before.
        before: T of each one's last rounds, in thousandths.
        f: Byzantine clients to withstand.
        noisy: whether honest updates are mostly noise, by the plan: then nobody can tell an echo by its noise.
    """
    rulings = ["silent" if quiet else "scored" for quiet in novelty.silent(gram.squared_norms(updates))]
    chances, parties = [-1] * len(rulings), list(range(len(rulings)))
    heard = [row for row, ruling in enumerate(rulings) if ruling == "scored"]
    if not heard:
        return Screened(rulings=rulings, chances=chances, parties=parties)
    left = novelty.innovations(past, own[heard])
    found = None if noisy else novelty.chances(left, own.shape[1] - len(past), f)
    for row, chance in zip(heard, found or (), strict=found is not None):
        chances[row] = chance
        rulings[row] = "echo" if novelty.echo(chance, before[row]) else "scored"
    kept = [place for place, row in enumerate(heard) if rulings[row] == "scored"]
    rows = [heard[place] for place in kept]
    together = novelty.parties(gram.products(updates[rows]).inner, left[np.ix_(kept, kept)])
    for row, party in zip(rows, together, strict=True):
        parties[row] = rows[party]
    return Screened(rulings=rulings, chances=chances, parties=parties)


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
    """The players' scores by row; how many models were evaluated for them; and the one that the aggregate leads to."""

    scores: Mapping[int, int]
    evaluations: int = 0
    reached: game.Reached | None = None


def _scored(
    agreed: agreement.Agreement,
    about: Round,
    updates: torch.Tensor,
    refined: torch.Tensor,
    players: Sequence[int],
    store: stores.Store,
    known: game.Reached | None,
) -> _Scored:
    chosen = agreed.plan.credit
    # An aggregate of zeros changed nothing: there is nothing to be paid for.
    if not players or not bool(refined.any()):
        return _Scored(scores={})
    if chosen.method == "gram":
        every = credit.gram_scores(updates, refined)
        return _Scored(scores={row: every[row] for row in players})
    appraiser = appraisal.Appraiser(agreed.task, testset.load(agreed.task, store), most=chosen.examples)
    played = game.Game(appraiser.loss, about.on, about.parent.weights, updates[list(players)], refined, known)
    draw = hashlib.sha256(f"{DRAW}\n".encode() + refined.numpy().astype("<i4", copy=False).tobytes()).digest()
    scores = dict(zip(players, played.scores(chosen.method, draw), strict=True))
    return _Scored(scores=scores, evaluations=played.evaluations, reached=played.reached)


def _lines(members: Sequence[str], judged: Screened, scores: Mapping[int, int]) -> dict[str, scorebook.Line]:
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
