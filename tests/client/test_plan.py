"""The plan: one byte form, and a clear refusal of everything else."""

import dataclasses
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import codeplan, errors, plan, section, taskkinds, taskplan, textplan
from exchange import unixfs
from ledger import canonical

CID = str(unixfs.of(b""))


FINITE = st.floats(allow_nan=False, allow_infinity=False)
LAWFUL: dict[type[section.Section], dict[str, st.SearchStrategy]] = {
    plan.CohortPlan: {
        "members": st.sampled_from(plan.MEMBERS),
        "minimum": st.integers(0, 10),
        "enough": st.just(0) | st.integers(10, 20),
        "size": st.just(0) | st.integers(20, 10_000),
    },
    plan.PrivacyPlan: {"clip_norm": st.floats(1e-9, 1e6)},
    plan.CreditPlan: {
        "method": st.sampled_from(plan.METHODS[:-1]),  # exact_shapley is for few holders
        "screened": st.booleans(),
        "schedule": st.just("linear"),
        "rate": st.integers(1, 10**9),
        "floor": st.integers(0, 10),
        "cap": st.just(0) | st.integers(10, 10**15),
    },
    taskplan.DigitsPlan: {"name": st.just("digits")},
    taskplan.SyntheticPlan: {"name": st.just("synthetic"), "features": st.just(784)},
    textplan.TextPlan: {"name": st.just("text"), "corpus": st.just("0f" * 32)},
    textplan.TransformerPlan: {
        "name": st.just("transformer"),
        "corpus": st.just("0f" * 32),
        "width": st.sampled_from([12, 96]),
        "heads": st.sampled_from([1, 4]),
    },
    taskplan.ImagesPlan: {
        "name": st.just("images"),
        "classes": st.just(taskplan.TEN),
        "channels": st.sampled_from([2, 64, 96]),
        "hidden": st.just(0),
        "test": st.sampled_from(["", CID]),
    },
    codeplan.FlowerPlan: {
        "name": st.just("flower"),
        "arrays": st.just(("0.weight <f4 3x12", "bias <f8 ")),
        "config": st.just(("lr=0.5",)),
    },
    taskplan.TablePlan: {
        "name": st.just("table"),
        "source": st.just("own"),
        "columns": st.just(("age", "Blutdruck \u00e4")),
        "classes": st.just(("well", "ill", "dead")),
        "label": st.just("class"),
        "partition": st.just("column"),
        "column": st.just("age"),
        "centre": st.tuples(FINITE, FINITE),
        "spread": st.tuples(FINITE.filter(lambda n: n > 0), FINITE.filter(lambda n: n > 0)),
        "test": st.just(CID),
    },
}
"""Fields that depend on one another: each drawn so that the section is one."""


def values(kind: type[section.Section]) -> st.SearchStrategy:
    """Any section of a kind, each number anywhere in its range."""
    if kind is taskplan.TaskPlan:
        return st.one_of(*(values(each) for each in taskkinds.KINDS.values()))
    lawful = LAWFUL.get(kind, {})
    hints = typing.get_type_hints(kind)
    fields = {}
    for field in dataclasses.fields(kind):
        low, high = field.metadata.get("low"), field.metadata.get("high")
        if field.name in lawful:
            fields[field.name] = lawful[field.name]
        elif field.name == "disclosure":
            fields[field.name] = st.sampled_from(plan.DISCLOSURES)
        elif kind is plan.OuterPlan and field.name == "name":
            fields[field.name] = st.sampled_from(["adam", "yogi"])  # the two that read every field
        elif field.metadata.get("among"):
            fields[field.name] = st.sampled_from(field.metadata["among"])
        elif hints[field.name] is str:
            fields[field.name] = st.text("abcxyz_", min_size=1)
        elif hints[field.name] is int:
            fields[field.name] = st.integers(low, high)
        elif hints[field.name] is float:
            fields[field.name] = st.floats(low, high)
        else:
            fields[field.name] = values(hints[field.name])
    return st.builds(lawful_plan if kind is plan.Plan else kind, **fields)


def lawful_plan(task: taskplan.TaskPlan, credit: plan.CreditPlan, **others: object) -> plan.Plan:
    """A plan whose credit method its task allows."""
    method = "gram" if task.unappraised else credit.method
    return plan.Plan(task=task, credit=dataclasses.replace(credit, method=method), **others)


@given(values(plan.Plan))
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
        "audit_window": 2,
        "task": {
            "name": "digits",
            "holders": 10,
            "alpha": "0.5",
            "hidden": 64,
            "epochs": 3,
            "batch": 32,
            "learning_rate": "0.1",
            "momentum": "0.9",
            "batches": 0,
            "update_momentum": "0.0",
        },
        "rule": {"name": "mean", "pre": "none", "byzantine": 0},
        "outer": {
            "name": "adam",
            "learning_rate": "1.0",
            "momentum": "0.9",
            "beta2": "0.99",
            "tau": "0.001",
            "late_rounds": 0,
            "late_factor": "1.0",
        },
        "privacy": {"clip_norm": "inf", "noise_multiplier": "0.0"},
        "lattice": {"headroom_bits": 3},
        "cohort": {"members": "fixed", "size": 0, "minimum": 0, "enough": 0, "deadline": 600, "cosignatures": 0},
        "credit": {
            "pool": 1,
            "method": "gram",
            "screened": True,
            "examples": 0,
            "schedule": "proportional",
            "rate": 0,
            "floor": 0,
            "cap": 0,
        },
    }


def test_the_fixture_is_a_plan(record: dict) -> None:
    """So that the refusals below are for what each of them changes."""
    assert plan.Plan.from_record(record).privacy.clip_norm == float("inf")


def test_a_field_that_came_later_is_left_out_where_it_changes_nothing(record: dict) -> None:
    """A plan from before there was such a field is the same bytes now; each plan is written in one way alone."""
    read = plan.Plan.from_record(record)
    assert read.to_record() == record
    assert (read.task.precision, read.task.partition) == ("float32", "dirichlet")
    record["task"]["precision"] = "float32"
    with pytest.raises(errors.PlanError, match=r"task: expected the fields \['alpha'"):
        plan.Plan.from_record(record)
    record["task"]["precision"] = "bfloat16"
    assert plan.Plan.from_record(record).to_record() == record
    record["task"]["precision"] = "float16"
    with pytest.raises(errors.PlanError, match=r"task\.precision is 'float16', expected one of: float32, bfloat16"):
        plan.Plan.from_record(record)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("v",), 2, "v is 2, expected 1 to 1"),
        (("extra",), 1, "extra"),
        (("rounds",), "3", "rounds: expected int"),
        (("rounds",), True, "rounds: expected int"),
        (("task", "alpha"), 0.5, "task.alpha: expected a real"),
        (("task", "alpha"), "0.50", "task.alpha: expected a real"),
        (("task", "alpha"), "nan", "task.alpha: expected a real"),
        (("task", "alpha"), "half", "task.alpha: expected a real"),
        (("task", "_target_"), "os.system", "task: expected the fields"),
        (("task", "hidden"), -1, "task.hidden is -1, expected 1 to 65536"),
        (("task", "batches"), -1, "task.batches is -1, expected 0 to 1000000"),
        (("task", "update_momentum"), "1.0", "task.update_momentum is 1.0, expected 0.0 to 0.9999"),
        (("task", "holders"), 10**9, "task.holders is 1000000000, expected 1 to 10000"),
        (("rule", "learning_rate"), "1.0", "rule: expected the fields"),
        (("cohort", "members"), "anyone", "cohort.members is 'anyone', expected one of: fixed, invited"),
        (("cohort", "minimum"), -1, "cohort.minimum is -1, expected 0 to 10000"),
        (("outer", "learning_rate"), "1e+30", "outer.learning_rate is 1e.30, expected 1e-09 to 1000000"),
        (("outer", "momentum"), "1.0", "outer.momentum is 1.0, expected 0.0 to 0.9999"),
        (("outer", "beta2"), "1.0", "outer.beta2 is 1.0, expected 0.0 to 0.9999"),
        (("outer", "tau"), "0.0", "outer.tau is 0.0, expected 1e-12 to 1000000"),
        (("outer", "late_rounds"), -1, "outer.late_rounds is -1, expected 0 to 1000000"),
        (("outer", "late_factor"), "2.0", "outer.late_factor is 2.0, expected 1e-09 to 1.0"),
        (("outer", "name"), "adamw", "outer.name is 'adamw', expected one of: sgd, nesterov, adam, yogi$"),
        (("outer", "name"), "nesterov", "outer.beta2 is 0.99, which nesterov does not read: expected 0.0$"),
        (("outer", "name"), "sgd", "outer.momentum is 0.9, which sgd does not read: expected 0.0$"),
        (("disclosure",), "auditors", "expected one of: public, none"),
        (("rule",), "mean", "rule: expected the fields"),
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
    with pytest.raises(errors.PlanError, match=r"cohort: expected the fields"):
        plan.Plan.from_record(record)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"size": 5, "minimum": 6}, "cohort.minimum is 6, expected at most cohort.size, which is 5"),
        ({"size": 5, "enough": 6}, "cohort.enough is 6, expected at most cohort.size, which is 5"),
        ({"enough": 2, "minimum": 3}, "cohort.minimum is 3, expected at most cohort.enough, which is 2"),
    ],
)
def test_a_cohort_that_can_never_be_enough_is_no_plan(changes: dict, named: str) -> None:
    """No round of it would ever be sealed at once, or at all."""
    values = {"members": "fixed", "size": 0, "minimum": 0, "enough": 0, "deadline": 1, "cosignatures": 0}
    plan.CohortPlan(**values)
    with pytest.raises(errors.PlanError, match=named):
        plan.CohortPlan(**values | changes)


def test_noise_needs_a_bound() -> None:
    """Noise in units of an infinite bound is none that could be drawn."""
    with pytest.raises(errors.PlanError, match="noise_multiplier"):
        plan.PrivacyPlan(clip_norm=float("inf"), noise_multiplier=1.0)
    assert plan.PrivacyPlan(clip_norm=1.0, noise_multiplier=1.0).noise_multiplier == 1.0


def test_a_task_without_a_public_test_set_is_credited_by_gram(record: dict) -> None:
    """The other methods evaluate models on it: a run that could never settle a round is no plan."""
    del record["task"]["hidden"]
    said = {"app": "a", "code": "c", "server": "", "arrays": ["w <f4 3"], "config": [], "accuracy": "", "loss": ""}
    record["task"] |= said | {"name": "flower", "judged": 0}
    assert plan.Plan.from_record(record).credit.method == "gram"
    record["credit"]["method"] = "single_add"
    with pytest.raises(errors.PlanError, match="task flower has none: expected gram"):
        plan.Plan.from_record(record)
