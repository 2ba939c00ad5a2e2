"""What a round is paid for: cheats get nothing, the books say why, and an audit finds what was altered (attacks 20, 21)."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks import contribution
from client import plan, training
from orchestrator import config, errors, findings, game, scorebook, settlement
from tests import federation

ROUNDS = ("rounds=3", "task.hidden=16", "credit.examples=100")


class Story:
    """Rounds of a federation, settled and committed one after another."""

    def __init__(self, folder: Path, *overrides: str, behaviours: dict[str, str] | None = None) -> None:
        self.world = federation.Federation(folder, *ROUNDS, *overrides)
        self.behaviours = behaviours or {}
        self.outcomes: list[settlement.Settlement] = []

    def round(self) -> settlement.Settlement:
        world = self.world
        for name in world.names:
            world.contribute(name, behaviour=self.behaviours.get(name))
        world.seal()
        outcome = self.settle()
        for file in (outcome.aggregate_file, outcome.standing_file, outcome.book_file, outcome.sketches_file):
            if file is not None:
                world.store.put(file)
        world.store.put(outcome.checkpoint_file)
        self.outcomes.append(outcome)
        return outcome

    def settle(self) -> settlement.Settlement:
        world = self.world
        opened = world.agreed.opening(world.opening)
        offers = settlement.sealed_offers(world.history)
        where = (str(world.identity), world.start, world.store)
        return settlement.settle(world.agreed, opened, offers, *where, finished=world.history.finished)

    def close(self, outcome: settlement.Settlement) -> None:
        """Commit, pay and disclose, and open the next round."""
        from exchange import recipients
        from orchestrator import opening

        world = self.world
        opened = world.agreed.opening(world.opening)
        judged = training.Judged(correct=1, total=2, loss=1.0)
        closing = settlement.closing(outcome, world.agreed, opened, str(world.identity), judged)
        for statement in (closing.commit, closing.credit, closing.disclose):
            assert statement is not None
            world.say(statement)
        world.identity = recipients.X25519Identity.generate()
        world.say(opening.prescribe(world.agreed, world.history, str(world.identity.recipient), world.get))


def test_idlers_and_opponents_are_paid_nothing_and_the_book_says_why(tmp_path: Path) -> None:
    """Zeros are silence, the last delta with noise an echo, a sign flip works against: three rounds, not one micro-credit."""
    cheats = {"holder-07": "idle", "holder-08": "free_rider", "holder-09": "sign_flip"}
    story = Story(tmp_path, behaviours=cheats)
    rulings = []
    for _ in range(3):
        outcome = story.round()
        assert outcome.book is not None
        assert {outcome.credit[name] for name in cheats} == {0}
        assert sum(outcome.credit.values()) == 1_000_000
        rulings.append([outcome.book.members[name].ruling for name in cheats])
        assert min(outcome.credit[name] for name in story.world.names[:7]) >= 0
        story.close(outcome)
    assert rulings[0] == ["silent", "silent", "opposed"]
    assert rulings[1:] == [["silent", "echo", "opposed"]] * 2
    books = [outcome.book for outcome in story.outcomes if outcome.book is not None]
    assert [book.before != "" for book in books] == [False, True, True]
    # The way to each update, the aggregate; the parent in the first round alone: later ones are the aggregate of the last.
    heard = [sum(line.ruling in ("scored", "opposed") for line in book.members.values()) for book in books]
    alone = [
        len({line.party for line in book.members.values() if line.ruling in ("scored", "opposed")}) for book in books
    ]
    assert alone == heard
    assert [book.evaluations for book in books] == [heard[0] + 2, heard[1] + 1, heard[2] + 1]


def test_a_parent_that_is_not_what_the_aggregate_led_to_is_evaluated(tmp_path: Path) -> None:
    """Another outer step than the plain one: what the last book says is of another model, and is not taken for it."""
    story = Story(tmp_path, "outer=sgd", "outer.learning_rate=0.5")
    for more in (2, 2):
        outcome = story.round()
        assert outcome.book is not None
        assert outcome.book.reached is not None
        parties = {line.party for line in outcome.book.members.values() if line.ruling in ("scored", "opposed")}
        assert outcome.book.evaluations == len(parties) + more
        story.close(outcome)


def test_examples_that_a_holder_claims_change_nothing(tmp_path: Path) -> None:
    """An inflated count of examples earns nothing: no payment depends on it."""
    story = Story(tmp_path)
    before = story.round()
    world = story.world
    opened = world.agreed.opening(world.opening)
    offers = [dataclasses.replace(each, examples=10**9) for each in settlement.sealed_offers(world.history)]
    again = settlement.settle(world.agreed, opened, offers, str(world.identity), world.start, world.store)
    assert again.credit == before.credit


@pytest.mark.parametrize("method", plan.METHODS)
def test_every_method_pays_the_pool(tmp_path: Path, method: str) -> None:
    """Each settles, twice the same, and what it pays is the pool; the book counts its evaluations."""
    story = Story(
        tmp_path, f"credit={method}", "task.holders=7", "attack=none", "rule.byzantine=1", "credit.examples=50"
    )
    outcome = story.round()
    assert sum(outcome.credit.values()) == 1_000_000
    assert story.settle() == outcome
    assert outcome.book is not None
    assert (outcome.book.evaluations == 0) == (method == "gram")


def test_without_screen_gram_keeps_no_book(tmp_path: Path) -> None:
    """Then a round leaves what it always did, and needs no public test set."""
    outcome = Story(tmp_path, "credit=gram", "credit.screened=false").round()
    assert outcome.book is None
    assert outcome.book_file is None
    assert sum(outcome.credit.values()) == 1_000_000


def test_a_secret_run_keeps_no_sketch_of_an_update(tmp_path: Path) -> None:
    """With disclosure=none only the aggregate, which is public anyway, is remembered."""
    outcome = Story(tmp_path, "disclosure=none").round()
    assert outcome.sketches_file is not None
    kept = scorebook.decode_sketches(outcome.sketches_file, members=0, width=min(8192, story_dim(outcome)))
    assert len(kept.aggregates) == 1


def story_dim(outcome: settlement.Settlement) -> int:
    return outcome.checkpoint.weights.numel()


def test_an_altered_score_is_named(tmp_path: Path) -> None:
    """A coordinator that writes another score into its book, with all files consistent, is caught at that score."""
    story = Story(tmp_path)
    outcome = story.round()
    assert outcome.book is not None
    world = story.world
    opened = world.agreed.opening(world.opening)
    first = outcome.accepted[2]
    line = outcome.book.members[first]
    forged = dataclasses.replace(
        outcome.book,
        members=dict(outcome.book.members) | {first: dataclasses.replace(line, score=line.score + 1, ruling="scored")},
    )
    with pytest.raises(errors.AuditError, match=rf"round 1: {first} is on record with") as caught:
        findings.books(opened.round, forged, outcome.book)
    assert caught.value.code == "credit"
    assert findings.books(opened.round, outcome.book, outcome.book) is None


def test_a_book_has_one_byte_form() -> None:
    """What is read back is what was written; another form of the same numbers is refused."""
    line = scorebook.Line(score=-(2**70), ruling="opposed", party="ash", chance=-1)
    named = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    book = scorebook.Book(before="", sketches=named, evaluations=3, members={"ash": line})
    book = dataclasses.replace(book, reached=game.Reached(model="5e" * 32, loss=1_234_567))
    file = scorebook.encode(book)
    assert scorebook.decode(file) == book
    for old, new in (
        (b'"-118', b'"+118'),
        (b'"opposed"', b'"liked"'),
        (b'"evaluations":3', b'"evaluations":"3"'),
        (b'"5e5e', b'"5E5e'),
    ):
        with pytest.raises(errors.RoundError, match="a book of scores"):
            scorebook.decode(file.replace(old, new))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["credit=exact_shapley", "task.holders=13"], "credit.method is exact_shapley for rounds of 13 holders"),
        (["credit.schedule=linear"], "credit.rate is 0 with credit.schedule=linear"),
        (["credit.floor=5", "credit.cap=4"], "credit.floor is 5, expected at most credit.cap, which is 4"),
        (["credit.method=fair"], "credit.method is 'fair', expected one of: gram"),
    ],
)
def test_a_plan_that_cannot_pay_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(errors.ConfigError, match=said):
        config.compose(overrides)


def test_the_benchmark_pays_as_a_settlement_does(tmp_path: Path) -> None:
    """`benchmarks.contribution` judges with the very functions of `orchestrator.crediting`: same rulings for same rows."""
    asked = contribution.Contribution(
        task="table", seed=1, cheat="last_delta", methods=("gram",), rounds=3, examples=50
    )
    found = contribution.run(asked)
    assert found.paid["gram"].totals[-1] == 0
    assert sum(found.rulings.values()) == found.updates == 30
