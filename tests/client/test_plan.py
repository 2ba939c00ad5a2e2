"""The plan: one byte form, and a clear refusal of everything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import errors, plan
from ledger import canonical

REAL = st.floats(allow_nan=False, min_value=0)


@st.composite
def plans(draw: st.DrawFn) -> plan.Plan:
    number, text = st.integers(0, 2**53 - 1), st.text("abcxyz_", min_size=1)
    return plan.Plan(
        seed=draw(number),
        rounds=draw(number),
        disclosure=draw(text),
        task=plan.TaskPlan(
            name=draw(text),
            holders=draw(number),
            alpha=draw(REAL),
            hidden=draw(number),
            epochs=draw(number),
            batch=draw(number),
            learning_rate=draw(REAL),
            momentum=draw(REAL),
        ),
        rule=plan.RulePlan(name=draw(text), pre=draw(text), byzantine=draw(number), learning_rate=draw(REAL)),
        privacy=plan.PrivacyPlan(clip_norm=draw(REAL)),
        lattice=plan.LatticePlan(headroom_bits=draw(number)),
        cohort=plan.CohortPlan(size=draw(number), deadline=draw(number)),
        credit=plan.CreditPlan(pool=draw(number)),
    )


@given(plans())
def test_a_plan_survives_the_ledger(given_plan: plan.Plan) -> None:
    """Through canonical JSON and back, every field is the same, each real number the same double."""
    record = canonical.decode(canonical.encode(given_plan.to_record()))
    assert plan.Plan.from_record(record) == given_plan


@pytest.fixture
def record() -> dict:
    return {
        "v": 1,
        "seed": 0,
        "rounds": 3,
        "disclosure": "public",
        "task": {
            "name": "digits",
            "holders": 10,
            "alpha": "0.5",
            "hidden": 64,
            "epochs": 3,
            "batch": 32,
            "learning_rate": "0.1",
            "momentum": "0.9",
        },
        "rule": {"name": "mean", "pre": "none", "byzantine": 0, "learning_rate": "1.0"},
        "privacy": {"clip_norm": "inf"},
        "lattice": {"headroom_bits": 3},
        "cohort": {"size": 0, "deadline": 600},
        "credit": {"pool": 1},
    }


def test_the_fixture_is_a_plan(record: dict) -> None:
    """So that the refusals below are for what each of them changes."""
    assert plan.Plan.from_record(record).privacy.clip_norm == float("inf")


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("v",), 2, "version 1"),
        (("extra",), 1, "extra"),
        (("rounds",), "3", "plan.rounds"),
        (("rounds",), True, "plan.rounds"),
        (("task", "alpha"), 0.5, "plan.task.alpha"),
        (("task", "alpha"), "0.50", "plan.task.alpha"),
        (("task", "alpha"), "nan", "plan.task.alpha"),
        (("task", "alpha"), "half", "plan.task.alpha"),
        (("task", "_target_"), "os.system", "plan.task"),
        (("rule",), "mean", "plan.rule"),
    ],
)
def test_a_received_plan_is_refused_by_name(record: dict, path: tuple[str, ...], value: object, named: str) -> None:
    """A missing, unknown or ill-typed field is a PlanError that names it; nothing is ever instantiated (attack 45)."""
    *parents, last = path
    section = record
    for parent in parents:
        section = section[parent]
    section[last] = value
    with pytest.raises(errors.PlanError, match=named):
        plan.Plan.from_record(record)


def test_a_missing_field_is_refused(record: dict) -> None:
    """A plan without one of its fields is no plan."""
    del record["cohort"]["size"]
    with pytest.raises(errors.PlanError, match=r"plan\.cohort"):
        plan.Plan.from_record(record)
