"""A scorer: rows that it never trains on, one number a candidate, the same words after a restart; plans that have scorers."""

import dataclasses
from pathlib import Path

import pytest
import torch

from aggregation import scorers
from client import agreement, appraisal, errors, holdout, plan, scorer, scoringplan, task
from ledger import canonical, dsse, keys, scores, statements
from orchestrator import config, founding
from tests import federation

HOLDERS = ("credit.utility=holders", "task.hidden=4")


@pytest.fixture(scope="module")
def agreed(tmp_path_factory: pytest.TempPathFactory) -> agreement.Agreement:
    where = tmp_path_factory.mktemp("run")
    return federation.Federation(where, *HOLDERS, "credit.scorers=[holder-00,holder-01,holder-02]").agreed


def made(agreed: agreement.Agreement, path: Path, name: str = "holder-00") -> scorer.Scorer:
    held = holdout.part(agreed.plan, name, agreed.task.shard(0)).held
    return scorer.Scorer(name=name, key=keys.SigningKey.generate(), agreed=agreed, held=held, path=path)


def models(agreed: agreement.Agreement) -> torch.Tensor:
    draw = torch.Generator().manual_seed(4)
    return torch.randn((4, sum(spec.size for spec in agreed.specs)), generator=draw) / 8


def test_a_row_is_trained_on_or_scored_by(agreed: agreement.Agreement) -> None:
    """Each example is in one part, the share is the plan's, and a restart parts them the same way."""
    shard = agreed.task.shard(0)
    parted = holdout.part(agreed.plan, "holder-00", shard)
    assert len(parted.held) == holdout.count(agreed.plan, "holder-00", len(shard)) == len(shard) // 5 > 0
    rows = {tuple(row) for row in shard.inputs.tolist()}
    apart = [{tuple(row) for row in each.inputs.tolist()} for each in (parted.trained, parted.held)]
    assert apart[0] | apart[1] == rows
    assert apart[0].isdisjoint(apart[1])
    again = holdout.part(agreed.plan, "holder-00", shard)
    assert torch.equal(parted.held.inputs, again.held.inputs)


def test_who_does_not_score_trains_on_all(agreed: agreement.Agreement) -> None:
    """A holder that is no scorer, one with too few rows, and every holder of a plan without scorers."""
    shard = agreed.task.shard(3)
    assert holdout.part(agreed.plan, "holder-03", shard).trained is shard
    few = task.Examples(inputs=shard.inputs[:4], labels=shard.labels[:4])
    assert len(holdout.part(agreed.plan, "holder-00", few).held) == 0
    public = config.compose(["task.hidden=4"]).plan
    assert holdout.count(public, "holder-00", 1000) == 0


def test_what_is_revealed_was_committed_to(agreed: agreement.Agreement, tmp_path: Path) -> None:
    """The commitment is that of the gains, which are losses on the held-out rows; a restart says the very same bytes."""
    own, given = made(agreed, tmp_path / "score.json"), models(agreed)
    said = statements.parse(own.commit(3, given).payload)
    shown = statements.parse(own.reveal(3, scorers.digest(given)).payload)  # type: ignore[union-attr]
    assert isinstance(said, scores.ScoreCommit)
    assert isinstance(shown, scores.ScoreReveal)
    reveal = scorers.Reveal(salt=bytes.fromhex(shown.salt), scores=shown.scores)
    assert scorers.verdict(agreed.run, 3, "holder-00", said.commitment, reveal, 3) == "counted"
    held = holdout.part(agreed.plan, "holder-00", agreed.task.shard(0)).held
    judge = appraisal.Appraiser(agreed.task, held, most=0)
    assert shown.scores == tuple(judge.loss(given[0]) - judge.loss(each) for each in given[1:])
    assert len(set(shown.scores)) > 1
    restarted = made(agreed, tmp_path / "score.json")
    assert statements.parse(restarted.commit(3, given).payload) == said


def test_another_round_or_other_candidates_are_scored_anew(agreed: agreement.Agreement, tmp_path: Path) -> None:
    """Each with a salt of its own; and what was not committed to is not revealed."""
    own, given = made(agreed, tmp_path / "score.json"), models(agreed)
    first = own.commit(3, given)
    assert own.reveal(3, "00" * 32) is None
    assert own.reveal(4, scorers.digest(given)) is None
    assert dsse.Envelope.parse(own.commit(4, given).to_bytes()).payload != first.payload
    assert own.reveal(3, scorers.digest(given)) is None


def test_a_plan_without_scorers_has_the_bytes_it_always_had() -> None:
    """The fields of cross-holder scoring are those of a plan that chooses it, and of no other."""
    public, chosen = config.compose([]).plan, config.compose(["credit.utility=holders"]).plan
    fields = set(canonical.decode(canonical.encode(chosen.to_record()))["credit"])  # type: ignore[index, arg-type, call-overload]
    assert fields - set(public.to_record()["credit"]) == {"utility", "scorers", "held_out"}  # type: ignore[arg-type]
    assert [plan.Plan.from_record(each.to_record()) for each in (public, chosen)] == [public, chosen]
    assert scoringplan.scored(public) is None
    assert chosen.credit.scorers == founding.member_names(10)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["credit.utility=them"], "credit.utility is 'them', expected one of: public, holders"),
        (["credit.scorers=[holder-00]"], "credit.scorers is .'holder-00'. with credit.utility=public"),
        (["credit.utility=holders", "credit.scorers=[a,b,c]"], "credit.scorers names a, b, c, but the holders are"),
        (
            ["credit.utility=holders", "credit.scorers=[holder-01,holder-02]"],
            "credit.scorers has 2 entries, expected 3",
        ),
        (
            ["credit.utility=holders", "credit.scorers=[holder-01,holder-00,holder-02]"],
            "expected names, each once, ascending",
        ),
        (["credit.utility=holders", "credit=gtg_shapley"], "credit.method is gtg_shapley with credit.utility=holders"),
        (["credit.utility=holders", "disclosure=none"], "credit.utility is holders with disclosure=none"),
        (["credit.utility=holders", "privacy=gaussian"], "scores tell of rows without noise, which no epsilon counts"),
        (["credit.utility=holders", "pool=remote"], "holders join over the network, where scorers cannot be asked yet"),
        (["credit.utility=holders", "credit.held_out=0.95"], "credit.held_out is 0.95, expected 0.01 to 0.9"),
    ],
)
def test_a_plan_that_cannot_be_scored_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(Exception, match=said) as caught:
        config.compose(overrides)
    assert type(caught.value).__module__ == "orchestrator.errors"


def test_another_utility_is_no_plan() -> None:
    chosen = config.compose(["credit.utility=holders"]).plan.credit
    with pytest.raises(errors.PlanError, match=r"credit.utility is .public., expected holders"):
        dataclasses.replace(chosen, utility="public")  # type: ignore[call-arg]
