"""Configuration: typed, each value written once, and every mistake one clear sentence."""

import re
from pathlib import Path

import pytest

import conf
from orchestrator import config, errors, schema, taskschema


def test_the_defaults_are_the_main_job() -> None:
    """No arguments: ten holders, two of them hostile, thirty rounds, a robust rule that tolerates two."""
    chosen = config.compose([])
    assert chosen.plan.task.holders == 10
    assert len(chosen.hostile) == 2 == chosen.plan.rule.byzantine
    assert chosen.plan.rounds == 30
    assert (chosen.plan.rule.pre, chosen.plan.rule.name) == ("standing+arc+nnm", "trimmed_mean")
    assert (chosen.plan.outer.name, chosen.plan.outer.learning_rate, chosen.plan.outer.late_factor) == ("sgd", 1.0, 1.0)


def test_another_rule_may_be_named_alone() -> None:
    """It comes without a pre-aggregation; `rule=auto` with nobody hostile is the mean."""
    named = config.compose(["rule.name=median"]).plan.rule
    assert (named.pre, named.name) == ("none", "median")
    honest = config.compose(["rule.byzantine=0"]).plan.rule
    assert (honest.pre, honest.name) == ("none", "mean")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("task.lrr=1", r"there is no key 'task\.lrr'"),
        ("rouns=3", "did you mean 'rounds'"),
        ("rounds=abc", "rounds=abc: Value 'abc' .* could not be converted to Integer"),
        ("task.holders=1.5", "task.holders=1.5: .* could not be converted to Integer"),
        ("rule=foo", "rule=foo: there is no such choice; there are: arc_nnm_trimmed_mean, auto"),
        ("rule.name=kurm", "unknown rule 'kurm'"),
        ("rule.pre=nnm", "rule.pre is 'nnm' while rule.name is auto"),
        ("rule.byzantine=5", "needs at least 11 holders, got 10"),
        ("rule.learning_rate=1", r"there is no key 'rule\.learning_rate'"),
        ("outer=adamw", "outer=adamw: there is no such choice; did you mean 'adam'"),
        ("outer.name=adamw", "outer.name is 'adamw', expected one of: sgd, nesterov, adam, yogi"),
        ("outer.momentum=0.9", "outer.momentum is 0.9, which sgd does not read: expected 0.0"),
        ("outer.late_factor=0", "outer.late_factor is 0.0, expected 1e-09 to 1.0"),
        ("attack.behaviours.holder-01=sign_flip", r"\+attack\.behaviours"),
        ("+attack.behaviours.holder-01=sign_flap", "no hostile behaviour 'sign_flap'"),
        ("+attack.behaviours.holder-99=sign_flip", "holder-00 to holder-09"),
        ("+task.x=1", r"there is no key task\.x"),
        ("~rounds", "the key rounds is missing"),
        ("rounds=0", "rounds is 0, expected 1 to 1000000"),
        ("task.momentum=1", "task.momentum is 1.0"),
        ("task.learning_rate=-1", "task.learning_rate is -1.0"),
        ("disclosure=maybe", "expected one of: public, none"),
        ("pool.name=thread", "expected one of: ray, inprocess"),
        ("cohort.size=11", "there are 10 holders"),
        ("task.name=digit", "there is no task 'digit'"),
        ("rounds==", "expected KEY=VALUE"),
        ("rounds", "expected KEY=VALUE"),
    ],
)
def test_a_mistake_is_one_clear_sentence(override: str, sentence: str) -> None:
    """It names the key and what would do, in one line."""
    with pytest.raises(errors.ConfigError, match=sentence) as caught:
        config.compose([override])
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_no_value_stands_in_the_schema() -> None:
    """Defaults live in YAML alone: every field of every schema is missing."""
    named = {**vars(schema), **vars(taskschema)}
    sections = [value for value in named.values() if hasattr(value, "__dataclass_fields__")]
    assert len(sections) == 20
    assert {field.default for kind in sections for field in kind.__dataclass_fields__.values()} == {"???"}


@pytest.mark.parametrize(
    "group", ["task", "rule", "outer", "attack", "privacy", "credit", "store", "ledger", "cohort", "pool", "experiment"]
)
def test_every_choice_of_every_group_composes(group: str) -> None:
    """No file of the package is broken; what a choice cannot be combined with, it says."""
    choices = [path.stem for path in (Path(conf.__file__).parent / group).glob("*.yaml")]
    assert choices
    app = str(Path(__file__).parent.parent / "apps" / "older.py")
    for choice in choices:
        config.compose([f"{group}={choice}", f"app={app}:app"])


def test_the_same_command_means_the_same_folder() -> None:
    """The folder's name follows plan and attack; workers and threads are not part of it."""
    first = config.compose([]).folder
    assert config.compose(["pool=inprocess"]).folder == first
    assert config.compose(["rule=mean"]).folder != first
    assert config.compose(["attack=none"]).folder != first
    assert config.compose(["seed=1"]).folder != first
    assert config.compose(["dir=/tmp/x"]).folder == Path("/tmp/x")


def test_a_users_own_folder_of_choices_is_searched(tmp_path: Path) -> None:
    """--config-dir adds groups without touching the package."""
    (tmp_path / "rule").mkdir()
    (tmp_path / "rule" / "mine.yaml").write_text("name: median\npre: none\nbyzantine: 1\n")
    chosen = config.compose(["rule=mine"], config_dir=str(tmp_path))
    assert (chosen.plan.rule.name, chosen.plan.rule.byzantine) == ("median", 1)


def test_a_resolved_configuration_has_no_interpolation_left() -> None:
    """What is written into the run folder is plain values (attack 45)."""
    assert not re.search(r"\$\{|_target_", config.compose([]).resolved)
