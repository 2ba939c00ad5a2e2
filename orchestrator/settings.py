"""A run, ready to start: configuration values checked once and frozen."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from aggregation import errors as aggregation_errors
from aggregation import rules
from client import errors as client_errors
from client import hostile, plan
from client.tasks import catalogue
from ledger import canonical
from orchestrator import errors, founding

DISCLOSURES = ("public", "none")
POOLS = ("ray", "inprocess")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """A run, ready to start.

    Attributes:
        plan: what all members agree on.
        hostile: behaviour by holder name, of those that are not honest.
        pool: `ray` or `inprocess`.
        workers: processes that train.
        threads: torch threads of each.
        folder: the run folder.
        resolved: the whole configuration as YAML.
    """

    plan: plan.Plan
    hostile: Mapping[str, str]
    pool: str
    workers: int
    threads: int
    folder: Path
    resolved: str

    @classmethod
    def from_values(cls, values: Mapping[str, Any], *, resolved: str) -> Self:
        """The run that composed and typed values describe.

        Args:
            values: plain containers, of the types `orchestrator.schema` gives.
            resolved: the same as YAML.

        Raises:
            ConfigError: a value outside its range; the message names the key, the value and what would do.
        """
        _require_ranges(values)
        agreed = plan.Plan(
            seed=values["seed"],
            rounds=values["rounds"],
            disclosure=values["disclosure"],
            task=plan.TaskPlan(**values["task"]),
            rule=plan.RulePlan(**values["rule"]),
            privacy=plan.PrivacyPlan(**values["privacy"]),
            lattice=plan.LatticePlan(headroom_bits=values["headroom_bits"]),
            cohort=plan.CohortPlan(**values["cohort"]),
            credit=plan.CreditPlan(pool=values["credit_pool"]),
        )
        attack = values["attack"]["behaviours"]
        try:
            catalogue.load(agreed.task, seed=agreed.seed)
            for name in attack.values():
                hostile.find(name)
        except client_errors.TaskError as error:
            raise errors.ConfigError(str(error)) from error
        _require_consistent(agreed, attack)
        return cls(
            plan=agreed,
            hostile=attack,
            pool=values["pool"]["name"],
            workers=values["pool"]["workers"],
            threads=values["pool"]["threads"],
            folder=_folder(values, agreed, attack),
            resolved=resolved,
        )


def _folder(values: Mapping[str, Any], agreed: plan.Plan, attack: Mapping[str, str]) -> Path:
    """Where the run lies: as told, or a name made of the plan and the attack, so that the same command resumes the same run."""
    if values["dir"] is not None:
        return Path(values["dir"])
    digest = hashlib.sha256(canonical.encode({"attack": dict(attack), "plan": agreed.to_record()})).hexdigest()
    return Path(values["runs"]) / f"{agreed.task.name}-{digest[:8]}"


def _require_ranges(values: Mapping[str, Any]) -> None:
    task, rule, pool = values["task"], values["rule"], values["pool"]
    least = {
        "rounds": (values["rounds"], 1),
        "seed": (values["seed"], 0),
        "credit_pool": (values["credit_pool"], 0),
        "headroom_bits": (values["headroom_bits"], 0),
        "task.holders": (task["holders"], 1),
        "task.hidden": (task["hidden"], 1),
        "task.epochs": (task["epochs"], 1),
        "task.batch": (task["batch"], 1),
        "rule.byzantine": (rule["byzantine"], 0),
        "cohort.size": (values["cohort"]["size"], 0),
        "cohort.deadline": (values["cohort"]["deadline"], 1),
        "pool.workers": (pool["workers"], 1),
        "pool.threads": (pool["threads"], 1),
    }
    for key, (value, bound) in least.items():
        if value < bound:
            raise errors.ConfigError(f"{key} is {value}, expected at least {bound}")
    positive = {
        "task.alpha": task["alpha"],
        "task.learning_rate": task["learning_rate"],
        "rule.learning_rate": rule["learning_rate"],
        "privacy.clip_norm": values["privacy"]["clip_norm"],
    }
    for key, value in positive.items():
        if not value > 0:
            raise errors.ConfigError(f"{key} is {value}, expected a number above 0")
    if not 0 <= task["momentum"] < 1:
        raise errors.ConfigError(f"task.momentum is {task['momentum']}, expected a number from 0 up to, not with, 1")
    chosen = {"disclosure": (values["disclosure"], DISCLOSURES), "pool.name": (pool["name"], POOLS)}
    for key, (value, names) in chosen.items():
        if value not in names:
            raise errors.ConfigError(f"{key} is {value!r}, expected one of: {', '.join(names)}")


def _require_consistent(agreed: plan.Plan, attack: Mapping[str, str]) -> None:
    names = founding.member_names(agreed.task.holders)
    for name in attack:
        if name not in names:
            raise errors.ConfigError(f"attack.behaviours names {name!r}, but the holders are {names[0]} to {names[-1]}")
    cohort = agreed.cohort.size or len(names)
    if cohort > len(names):
        raise errors.ConfigError(f"cohort.size is {cohort}, but there are {len(names)} holders")
    try:
        rules.check(agreed.rule.name, agreed.rule.pre, cohort, agreed.rule.byzantine)
    except aggregation_errors.RuleError as error:
        raise errors.ConfigError(str(error)) from error
