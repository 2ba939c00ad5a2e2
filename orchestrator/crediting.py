"""What a round's updates are paid: scores, rulings against cheats, and the plan's schedule (docs/protocol.md P28).

    accepted rows -> silent? -> echo? -> the others play the plan's game -> score <= 0? -> parties share -> payout

Scores and rulings are a function of the updates, the plan, the round's identity, public files of earlier rounds and the public
test set; coordinator and auditor call this module, so a score has one value.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

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
        identity: text of its age identity.
        finished: the round before; None in the first.
    """

    on: lattice.Lattice
    parent: checkpoint.Checkpoint
    identity: str
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

    Reference: docs/protocol.md P28.
    """
    chosen = agreed.plan.credit
    public = agreed.plan.disclosure == "public"
    seed = int.from_bytes(hashlib.sha256(f"{DRAW}\n{agreed.run}".encode()).digest()[:8])
    own, past, aggregates, latest = updates[:0], updates[:0], updates[:0], ""
    if chosen.kept:
        latest, width = _latest(agreed, about.finished, store), sketch.width(about.on.dim)
        limit = book_limit(agreed)
        aggregates, past = scorebook.remembered(
            latest, width=width, public=public, read=lambda cid: store.get(cid, limit=limit)
        )
        own = sketch.of(about.on, updates, seed=seed) if len(updates) else past[:0]
    f, noisy = agreed.plan.rule.byzantine, agreed.plan.privacy.noise_multiplier > 0
    rulings = screen(updates, own, past, f, noisy=noisy) if chosen.screened else ["scored"] * len(members)
    players = [row for row, ruling in enumerate(rulings) if ruling == "scored"]
    scores = dict.fromkeys(range(len(members)), 0)
    evaluations = 0
    # An aggregate of zeros changed nothing: there is nothing to be paid for.
    if players and bool(refined.any()):
        found, evaluations = _scores(agreed, about, updates, refined, players, store)
        scores |= dict(zip(players, found, strict=True))
    lines = _lines(members, updates, players, scores, rulings, screened=chosen.screened)
    terms = {name: getattr(chosen, name) for name in ("pool", "schedule", "rate", "floor", "cap")}
    amounts = payout.payout(_payable(lines), **terms)
    if not chosen.kept:
        return Credited(amounts=amounts)
    now = sketch.of(about.on, refined.unsqueeze(0), seed=seed)
    kept = scorebook.Sketches(
        aggregates=torch.cat((aggregates, now))[-scorebook.AGGREGATES :], updates=own if public else own[:0]
    )
    sketches = scorebook.encode_sketches(kept)
    named = str(unixfs.of(sketches))
    book = scorebook.Book(before=latest, sketches=named, evaluations=evaluations, members=lines)
    return Credited(amounts=amounts, book=book, book_file=scorebook.encode(book), sketches_file=sketches)


def screen(updates: torch.Tensor, own: torch.Tensor, past: torch.Tensor, f: int, *, noisy: bool) -> list[str]:
    """The ruling on each update before it is scored: `silent`, `echo` or `scored`.

    Args:
        updates: int16 `(clients, dim)`.
        own: their sketches.
        past: sketches of what was public before.
        f: Byzantine clients to withstand.
        noisy: whether honest updates are mostly noise, by the plan: then nobody can tell an echo by its noise.
    """
    rulings = ["silent" if quiet else "scored" for quiet in novelty.silent(gram.squared_norms(updates))]
    heard = [row for row, ruling in enumerate(rulings) if ruling == "scored"]
    chances = None if noisy or not heard else novelty.chances(past, own[heard], f)
    if chances is not None:
        for row, chance in zip(heard, chances.tolist(), strict=True):
            rulings[row] = "echo" if chance < novelty.CHANCE else "scored"
    return rulings


def book_limit(agreed: agreement.Agreement) -> int:
    """Bytes that a book of scores, or the sketches it names, may have: 16 KiB for each member that a cohort can have."""
    return scorebook.MOST_BYTES + 2 * sketch.BUCKETS * (agreed.plan.cohort.size or 10_000)


def _latest(agreed: agreement.Agreement, finished: rounds.RoundRecord | None, store: stores.Store) -> str:
    """CID of the book of the round before; empty in the first."""
    if finished is None or finished.commit is None:
        return ""
    limit = 4 * sum(spec.size for spec in agreed.specs) + 2**20
    return aggregate.decode(store.get(finished.commit.aggregate, limit=limit), agreed.specs).scores


def _scores(
    agreed: agreement.Agreement,
    about: Round,
    updates: torch.Tensor,
    refined: torch.Tensor,
    players: Sequence[int],
    store: stores.Store,
) -> tuple[list[int], int]:
    """The players' scores, and how many models were evaluated for them."""
    chosen = agreed.plan.credit
    if chosen.method == "gram":
        every = credit.gram_scores(updates, refined)
        return [every[row] for row in players], 0
    appraiser = appraisal.Appraiser(agreed.task, testset.load(agreed.task, store), most=chosen.examples)
    played = game.Game(appraiser.loss, about.on, about.parent.weights, updates[list(players)], refined)
    draw = hashlib.sha256(f"{DRAW}\n{about.identity}".encode()).digest()
    return played.scores(chosen.method, draw), played.evaluations


def _lines(
    members: Sequence[str],
    updates: torch.Tensor,
    players: Sequence[int],
    scores: Mapping[int, int],
    rulings: Sequence[str],
    *,
    screened: bool,
) -> dict[str, scorebook.Line]:
    """The book's lines: who scores nothing is `opposed`, and of those who score, who is one party."""
    ruled = ["opposed" if each == "scored" and scores[row] <= 0 else each for row, each in enumerate(rulings)]
    parties = list(range(len(members)))
    if screened and players:
        found = novelty.parties(gram.products(updates[list(players)]).inner)
        for row, party in zip(players, found, strict=True):
            parties[row] = players[party]
    return {
        name: scorebook.Line(score=scores[row], ruling=ruled[row], party=members[parties[row]])
        for row, name in enumerate(members)
    }


def _payable(lines: Mapping[str, scorebook.Line]) -> dict[str, int]:
    """What each is paid by: its score; of a party, an equal part of its best."""
    names = list(lines)
    shared = credit.shared([lines[name].score for name in names], [names.index(lines[name].party) for name in names])
    return {name: score if lines[name].ruling == "scored" else 0 for name, score in zip(names, shared, strict=True)}
