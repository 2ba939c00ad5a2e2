"""A run, ready to start: configuration values checked once and frozen."""

import dataclasses
import hashlib
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from aggregation import errors as aggregation_errors
from aggregation import guidance, rules
from client import errors as client_errors
from client import hostile, plan
from client.tasks import catalogue
from exchange import address
from exchange import errors as exchange_errors
from ledger import canonical, places, policy
from orchestrator import errors, founding, recall

BACKENDS = {"pool": ("ray", "inprocess"), "store": ("blocks", "ipfs"), "ledger": ("sqlite", "postgres")}


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
        api: addresses of the IPFS nodes that hold the run's files too; empty for none.
        url: of the database on a server that holds the log; None for SQLite in the run folder.
        witnesses: who is asked to cosign what is published; None for nobody.
        post_quantum: whether checkpoints are signed with an ML-DSA-44 key too.
        resolved: the whole configuration as YAML.
    """

    plan: plan.Plan
    hostile: Mapping[str, str]
    pool: str
    workers: int
    threads: int
    folder: Path
    api: tuple[str, ...]
    url: str | None
    witnesses: policy.Policy | None
    post_quantum: bool
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
        pool, attack = values["pool"], values["attack"]["behaviours"]
        for group, names in BACKENDS.items():
            if values[group]["name"] not in names:
                raise errors.ConfigError(
                    f"{group}.name is {values[group]['name']!r}, expected one of: {', '.join(names)}"
                )
        if values["dir"] == "":
            raise errors.ConfigError("dir is empty, expected a folder")
        for key in ("workers", "threads"):
            if pool[key] < 1:
                raise errors.ConfigError(f"pool.{key} is {pool[key]}, expected at least 1")
        try:
            agreed = _plan(values)
            catalogue.load(agreed.task, seed=agreed.seed)
            for name in attack.values():
                hostile.find(name)
        except (client_errors.PlanError, client_errors.TaskError) as error:
            raise errors.ConfigError(str(error)) from error
        _require_consistent(agreed, attack)
        return cls(
            plan=agreed,
            hostile=attack,
            pool=pool["name"],
            workers=pool["workers"],
            threads=pool["threads"],
            folder=_folder(values, agreed, attack),
            api=_api(values["store"]),
            url=_url(values["ledger"]),
            post_quantum=values["ledger"]["post_quantum"],
            witnesses=None
            if values["ledger"]["witnesses"] is None
            else recall.read_policy(Path(values["ledger"]["witnesses"])),
            resolved=resolved,
        )


def _folder(values: Mapping[str, Any], agreed: plan.Plan, attack: Mapping[str, str]) -> Path:
    """Where the run lies: as told, or a name made of the plan and the attack, so that the same command resumes the same run."""
    if values["dir"] is not None:
        return Path(values["dir"])
    digest = hashlib.sha256(canonical.encode({"attack": dict(attack), "plan": agreed.to_record()})).hexdigest()
    return Path(values["runs"]) / f"{agreed.task.name}-{digest[:8]}"


def _api(store: Mapping[str, Any]) -> tuple[str, ...]:
    """Addresses of IPFS nodes. They are written to the run folder, so they hold no secret."""
    named = tuple(store["api"])
    if (store["name"] == "ipfs") != bool(named):
        raise errors.ConfigError(
            f"store.api is {list(named)} for store={store['name']}, expected addresses for store=ipfs"
        )
    for each in named:
        try:
            address.multiaddr(each)
        except exchange_errors.PeerError as error:
            raise errors.ConfigError(f"store.api: {error}") from error
    return named


def _url(ledger: Mapping[str, Any]) -> str | None:
    """The URL of the database of a log on a server; None without. It is written to the run folder, so it holds no secret."""
    name, url = ledger["name"], ledger["url"]
    if name == "sqlite" and url is None:
        return None
    if name == "sqlite":
        raise errors.ConfigError("ledger.url is given for ledger=sqlite, expected ledger=postgres with it")
    if url is None or not places.on_server(url):
        raise errors.ConfigError("ledger.url is missing or no postgresql:// URL, expected the database of this log")
    parts = urllib.parse.urlsplit(url)
    if parts.password or "password" in urllib.parse.parse_qs(parts.query):
        raise errors.ConfigError("ledger.url holds a password, expected it in PGPASSWORD, ~/.pgpass or a service file")
    return str(url)


def _plan(values: Mapping[str, Any]) -> plan.Plan:
    return plan.Plan(
        seed=values["seed"],
        rounds=values["rounds"],
        disclosure=values["disclosure"],
        task=plan.TaskPlan(**values["task"]),
        rule=_rule(values),
        outer=plan.OuterPlan(**values["outer"]),
        privacy=plan.PrivacyPlan(**values["privacy"]),
        lattice=plan.LatticePlan(**values["lattice"]),
        cohort=plan.CohortPlan(**values["cohort"]),
        credit=plan.CreditPlan(**values["credit"]),
    )


def _rule(values: Mapping[str, Any]) -> plan.RulePlan:
    """The rule, or what `auto` stands for with so many holders a round: the plan names it, as any other."""
    asked = dict(values["rule"])
    if asked["name"] != guidance.AUTO and asked["pre"] == guidance.AUTO:
        asked["pre"] = "none"  # another rule was named, and nothing else
    if asked["name"] == guidance.AUTO:
        if asked["pre"] != guidance.AUTO:
            raise errors.ConfigError(f"rule.pre is {asked['pre']!r} while rule.name is auto, expected to be told both")
        cohort = values["cohort"]["size"] or values["task"]["holders"]
        try:
            chosen = guidance.choose(cohort, asked["byzantine"])
        except aggregation_errors.RuleError as error:
            raise errors.ConfigError(str(error)) from error
        asked |= {"name": chosen.rule, "pre": chosen.pre}
    return plan.RulePlan(**asked)


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
