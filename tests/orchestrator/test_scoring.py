"""Rounds that holders score: liars move nothing, who breaks the phases is left out and named, an audit finds changes."""

import base64
import dataclasses
import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from aggregation import scorers
from client import scoringplan, worker
from ledger import canonical, dsse, log, scores, scoring, statements
from orchestrator import (
    cli,
    config,
    errors,
    findings,
    folder,
    game,
    inprocess,
    jury,
    replay,
    scorebook,
    settlement,
)
from orchestrator import scoring as gathering
from tests import federation

NAMES = tuple(f"holder-0{number}" for number in range(5))
SCORED = ("credit=single_add", "credit.utility=holders", "task.holders=5", "rule.byzantine=1", "attack=none")
SMALL = (*SCORED, "task.hidden=8", "rounds=2")
Say = Callable[[str, int], int]
"""say(scorer, gain): what it says instead of the honest gain."""


class Story:
    """One sealed round whose scorers say what a test wants; statements go through the real history."""

    def __init__(self, root: Path, *overrides: str) -> None:
        self.world = federation.Federation(root, *SMALL, *overrides)
        for name in self.world.names:
            self.world.contribute(name)
        self.world.seal()

    def settle(self, said: Mapping[str, tuple[int, ...] | None], **spoilt: str) -> settlement.Settlement:
        """The round, with these scores; None for one that commits to zeros and never reveals. `spoilt` do otherwise."""

        def ask(models: torch.Tensor) -> scoring.Scoring:
            self.candidates = models
            reveals = {name: self._commit(name, scores_said, models, spoilt) for name, scores_said in said.items()}
            world = self.world
            where = {"run": world.agreed.run, "round": 1}
            world.say(scores.ScoreClose(author=world.agreed.founder, **where))
            for name, reveal in reveals.items():
                if said[name] is not None:
                    self._append(scores.ScoreReveal(author=name, **where, salt=reveal.salt.hex(), scores=reveal.scores))
            assert world.history.current is not None
            return world.history.current.scorers

        return self._settled(ask)

    def again(self) -> settlement.Settlement:
        """As an auditor settles it: by the statements that there are."""
        record = self.world.history.current
        assert record is not None
        return self._settled(lambda _: record.scorers)

    def _settled(self, ask: jury.Ask) -> settlement.Settlement:
        world = self.world
        opened, offers = world.agreed.opening(world.opening), settlement.sealed_offers(world.history)
        return settlement.settle(world.agreed, opened, offers, str(world.identity), world.start, world.store, ask=ask)

    def _commit(
        self, name: str, said: tuple[int, ...] | None, models: torch.Tensor, spoilt: Mapping[str, str]
    ) -> scorers.Reveal:
        reveal = scorers.Reveal(salt=bytes(31) + name[-1:].encode(), scores=said or (0,) * (len(models) - 1))
        run, how = self.world.agreed.run, spoilt.get(name.replace("-", "_"))
        bound = scorers.commitment(run, 1, name, reveal)
        named = scorers.digest(models + 1 if how == "candidates" else models)
        self._append(scores.ScoreCommit(author=name, run=run, round=1, candidates=named, commitment=bound))
        changed = (reveal.scores[0] + 1, *reveal.scores[1:])
        return dataclasses.replace(reveal, scores=changed) if how == "scores" else reveal

    def _append(self, statement: statements.Predicate) -> None:
        self.world.append(dsse.sign(statements.build(statement), self.world.keys[statement.author]))


def test_the_median_is_what_is_paid_by(tmp_path: Path) -> None:
    """Two liars of five, one for a friend, one against a rival: each value is one that an honest scorer gave."""
    story = Story(tmp_path)
    honest = [(10, 20, 30, 40, 50), (12, 18, 33, 41, 49), (11, 25, 28, 45, 52)]
    lies = [(10**9, 0, 0, 0, 0), (0, -(10**9), 10**9, 0, 10**9)]
    outcome = story.settle(dict(zip(NAMES, [*honest, *lies], strict=True)))
    assert outcome.book is not None
    heard = outcome.book.heard
    assert heard is not None
    for value, column in zip(heard.values, zip(*honest, strict=True), strict=True):
        low, high = scorers.bounds(column, 2)
        assert low <= value <= high
        assert value in column
    members = outcome.book.members
    assert [members[name].score for name in NAMES] == [value * game.UNITS for value in heard.values]
    assert sum(outcome.credit.values()) == 1_000_000
    assert set(heard.verdicts.values()) == {"counted"}
    assert story.again() == outcome


def test_whoever_breaks_the_phases_is_left_out_and_named(tmp_path: Path) -> None:
    """Silent, unrevealed, revealed otherwise, other candidates, other numbers of them: none of it counts."""
    said = (10, 20, 30, 40, 50)
    honest = dict.fromkeys(NAMES[:3], said)
    bad = (10**9,) * 5
    cases: list[tuple[dict[str, tuple[int, ...] | None], dict[str, str], tuple[str, str]]] = [
        ({NAMES[3]: None}, {}, ("unrevealed", "silent")),
        ({NAMES[3]: bad, NAMES[4]: bad}, {"holder_03": "scores", "holder_04": "candidates"}, ("otherwise", "misfit")),
        ({NAMES[3]: (1, 2), NAMES[4]: bad}, {"holder_04": "scores"}, ("misfit", "otherwise")),
    ]
    paid = None
    for number, (others, spoilt, verdicts) in enumerate(cases):
        outcome = Story(tmp_path / str(number)).settle(honest | others, **spoilt)
        assert outcome.book is not None
        assert outcome.book.heard is not None
        assert outcome.book.heard.verdicts == dict.fromkeys(NAMES[:3], "counted") | dict(
            zip(NAMES[3:], verdicts, strict=True)
        )
        assert outcome.book.heard.values == said
        assert paid in (None, outcome.credit)
        paid = outcome.credit


def test_without_a_majority_nobody_is_paid(tmp_path: Path) -> None:
    """Where three of five are silenced, two liars could be the majority of the rest: the round pays nothing, and says why."""
    outcome = Story(tmp_path).settle(dict.fromkeys(NAMES[:2], (10**9,) * 5))
    assert outcome.book is not None
    assert outcome.book.heard is not None
    assert outcome.book.heard.values == (0,) * 5
    assert set(outcome.credit.values()) == {0}
    assert {line.ruling for line in outcome.book.members.values()} == {"opposed"}


@pytest.mark.parametrize("method", scoringplan.METHODS)
def test_every_method_is_played_by_what_scorers_say(tmp_path: Path, method: str) -> None:
    """Where every scorer says what the public test set says, the scores are those of the public test set, for each method."""
    story = Story(tmp_path, f"credit={method}")
    world = story.world
    from client import appraisal, testset

    judge = appraisal.Appraiser(world.agreed.task, testset.load(world.agreed.task, world.store), most=1000)

    def ask(models: torch.Tensor) -> scoring.Scoring:
        losses = [judge.loss(each) for each in models]
        gains = tuple(losses[0] - loss for loss in losses[1:])
        for name in NAMES:
            reveal = story._commit(name, gains, models, {})
            assert reveal.scores == gains
        world.say(scores.ScoreClose(author=world.agreed.founder, run=world.agreed.run, round=1))
        for name in NAMES:
            salt = bytes(31) + name[-1:].encode()
            story._append(scores.ScoreReveal(author=name, run=world.agreed.run, round=1, salt=salt.hex(), scores=gains))
        assert world.history.current is not None
        return world.history.current.scorers

    outcome = story._settled(ask)
    public = dataclasses.replace(
        world.agreed,
        plan=dataclasses.replace(
            world.agreed.plan, credit=config.compose([f"credit={method}", "task.hidden=8"]).plan.credit
        ),
    )
    opened, offers = world.agreed.opening(world.opening), settlement.sealed_offers(world.history)
    tested = settlement.settle(public, opened, offers, str(world.identity), world.start, world.store)
    assert outcome.book is not None
    assert tested.book is not None
    assert outcome.book.members == tested.book.members
    assert outcome.book.evaluations == tested.book.evaluations == len(story_models(story, ask))
    assert outcome.credit == tested.credit


def story_models(story: Story, ask: object) -> torch.Tensor:
    """The candidates of a story's round."""
    found: list[torch.Tensor] = []

    def noted(models: torch.Tensor) -> scoring.Scoring:
        found.append(models)
        return scoring.NONE

    story._settled(noted)
    return found[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scored") / "run"
    federation.conduct(root, inprocess.InProcessPool(gathering.Worker), *SMALL)
    return root


def said(root: Path) -> list[statements.Predicate]:
    with log.Log.open(root / "ledger.sqlite", origin=_origin(root), read_only=True) as record:
        return [statements.parse(entry.envelope.payload) for entry in record.entries(0)]


def _origin(root: Path) -> str:
    from orchestrator import journal

    return journal.claimed(root / "ledger.sqlite")


def test_a_run_is_scored_paid_and_audited(finished: Path, tmp_path: Path) -> None:
    """Must-show 5: five commitments, the close, five reveals in each round; the audit and a bundle come to the same."""
    kinds = [type(each) for each in said(finished) if isinstance(each, scores.Said)]
    assert kinds == [*[scores.ScoreCommit] * 5, scores.ScoreClose, *[scores.ScoreReveal] * 5] * 2
    report = replay.Replay(folder.RunFolder(root=finished), lambda *_: None).audit()
    assert (report.checked["scorers"], report.unheard, report.recomputed) == (10, {}, 2)
    bundle = tmp_path / "run.car"
    for arguments in (["audit", str(finished), "--export", str(bundle)], ["audit", str(bundle), "--json"]):
        result = CliRunner().invoke(cli.cli, [*arguments, "--no-memory"])
        assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["checked"]["scorers"] == 10


def test_a_scorer_never_trains_on_what_it_scores_by(finished: Path) -> None:
    """Each offer counts the examples of the holder without the fifth that it holds out."""
    made = config.compose([*federation.TWO_ROUNDS, *SMALL])
    from client.tasks import catalogue

    task = catalogue.load(made.plan.task, seed=made.plan.seed)
    sizes = {name: task.size(number) for number, name in enumerate(NAMES)}
    for offer in said(finished):
        if isinstance(offer, statements.UpdateOffer):
            assert offer.examples == sizes[offer.author] - int(sizes[offer.author] * 0.2)


@pytest.mark.parametrize("answers", [6, 8, 12])
def test_a_coordinator_that_dies_while_scores_come_in_goes_on(tmp_path: Path, finished: Path, answers: int) -> None:
    """Killed among commitments or reveals: each scorer still says its part once, and all payments are the same."""

    class Interrupting(inprocess.InProcessPool):
        left = answers

        def wait(self, timeout: float) -> list[worker.Reply]:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return super().wait(timeout)

    with pytest.raises(KeyboardInterrupt):
        federation.conduct(tmp_path, Interrupting(gathering.Worker), *SMALL)
    federation.conduct(tmp_path, inprocess.InProcessPool(gathering.Worker), *SMALL)
    mine, theirs = said(tmp_path), said(finished)
    assert [type(each) for each in mine if not isinstance(each, statements.UpdateOffer)] == [
        type(each) for each in theirs if not isinstance(each, statements.UpdateOffer)
    ]
    assert payments(mine) == payments(theirs)
    assert replay.Replay(folder.RunFolder(root=tmp_path), lambda *_: None).audit().unheard == {}


def payments(found: list[statements.Predicate]) -> list[object]:
    return [each.postings for each in found if isinstance(each, statements.CreditTransfer)]


def test_an_altered_score_is_named(tmp_path: Path) -> None:
    """A book with another verdict, value or line is told from the recomputed one by the scorer, or the member."""
    story = Story(tmp_path)
    outcome = story.settle(dict.fromkeys(NAMES, (10, 20, 30, 40, 50)))
    book = outcome.book
    assert book is not None
    assert book.heard is not None
    assert scorebook.decode(scorebook.encode(book)) == book
    silenced = dataclasses.replace(book.heard, verdicts=dict(book.heard.verdicts) | {NAMES[1]: "silent"})
    with pytest.raises(errors.AuditError, match="the scorer holder-01 is on record as silent, recomputed counted"):
        findings.books(1, dataclasses.replace(book, heard=silenced), book)
    raised = dict(book.members) | {NAMES[4]: dataclasses.replace(book.members[NAMES[4]], score=99_000)}
    with pytest.raises(errors.AuditError, match="holder-04 is on record with score 99000"):
        findings.books(1, dataclasses.replace(book, members=raised), book)
    other = dataclasses.replace(book.heard, values=(11, 20, 30, 40, 50))
    with pytest.raises(errors.AuditError, match="the book of scores is not the recomputed one"):
        findings.books(1, dataclasses.replace(book, heard=other), book)


def test_a_book_of_another_form_is_refused(tmp_path: Path) -> None:
    outcome = Story(tmp_path).settle(dict.fromkeys(NAMES, (10, 20, 30, 40, 50)))
    assert outcome.book_file is not None
    for old, new in ((b'"counted"', b'"praised"'), (b'"values":[10', b'"values":["10"'), (b'"values"', b'"worth"')):
        with pytest.raises(errors.RoundError, match="a book of scores"):
            scorebook.decode(outcome.book_file.replace(old, new, 1))


def test_a_coordinator_that_pays_by_other_scores_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose coordinator leaves one reveal out, all files consistent: the audit names the scorer."""

    class Partial(gathering.Scoring):
        def gathered(self, models: torch.Tensor) -> scoring.Scoring:
            found = super().gathered(models)
            kept = {name: each for name, each in found.revealed.items() if name != NAMES[2]}
            return dataclasses.replace(found, revealed=kept)

    root = tmp_path / "run"
    monkeypatch.setattr(gathering, "Scoring", Partial)
    federation.conduct(root, inprocess.InProcessPool(gathering.Worker), *SMALL)
    with pytest.raises(errors.AuditError, match="the scorer holder-02 is on record as unrevealed, recomputed counted"):
        replay.Replay(folder.RunFolder(root=root), lambda *_: None).audit()


def test_an_altered_reveal_on_the_log_is_found(finished: Path, tmp_path: Path) -> None:
    """Another number in a reveal: its author's signature is none of it, and the entry is named."""
    root = tmp_path / "run"
    shutil.copytree(finished, root)
    place = next(seq for seq, each in enumerate(said(root)) if isinstance(each, scores.ScoreReveal))
    with sqlite3.connect(root / "ledger.sqlite") as database:
        ((leaf,),) = database.execute("SELECT leaf FROM entry WHERE seq = ?", (place,))
        entry = json.loads(leaf)
        payload = json.loads(base64.b64decode(entry["dsse"]["payload"]))
        payload["predicate"]["scores"][0] += 1
        entry["dsse"]["payload"] = base64.b64encode(canonical.encode(payload)).decode()
        database.execute("UPDATE entry SET leaf = ? WHERE seq = ?", (canonical.encode(entry, limit=65_535), place))
    with pytest.raises(errors.AuditError, match=f"entry {place}"):
        replay.Replay(folder.RunFolder(root=root), lambda *_: None).audit()
