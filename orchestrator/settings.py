"""A run, ready to start: configuration values checked once and frozen."""

import dataclasses
import hashlib
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from aggregation import errors as aggregation_errors
from aggregation import guidance
from client import errors as client_errors
from client import hostile, plan, quorum, scoringplan, taskplan
from client.tasks import catalogue
from exchange import address
from exchange import errors as exchange_errors
from ledger import canonical, places, policy
from orchestrator import errors, founding, hosting, recall

BACKENDS = {"pool": ("ray", "inprocess", hosting.REMOTE), "store": ("blocks", "ipfs"), "ledger": ("sqlite", "postgres")}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """A run, ready to start.

    Attributes:
        plan: what all members agree on.
        test: file of the public test set that the plan names; empty where every installation has one.
        hostile: behaviour by holder name, of those that are not honest.
        pool: `ray`, `inprocess` or `remote`.
        hosting: how holders elsewhere join; None where all are played here.
        workers: processes that train.
        threads: torch threads of each.
        together: holders that train side by side at most, as `client.groups.most` reads it.
        address: of the Ray cluster to join; None to start one.
        folder: the run folder.
        api: addresses of the IPFS nodes that hold the run's files too; empty for none.
        gateways: URLs of the trustless gateways that are asked for what is missing; empty for none.
        url: of the database on a server that holds the log; None for SQLite in the run folder.
        witnesses: who is asked to cosign what is published; None for nobody.
        post_quantum: whether checkpoints are signed with an ML-DSA-44 key too.
        profile: whether a trace is written.
        standby: whether to wait where another coordinator acts on the run, and take over.
        resolved: the whole configuration as YAML.
    """

    plan: plan.Plan
    test: bytes
    hostile: Mapping[str, str]
    pool: str
    hosting: hosting.Hosting | None
    workers: int
    threads: int
    together: int
    address: str | None
    folder: Path
    api: tuple[str, ...]
    gateways: tuple[str, ...]
    url: str | None
    witnesses: policy.Policy | None
    post_quantum: bool
    profile: bool
    standby: bool
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
        pool = values["pool"]
        attack = {} if pool["name"] == hosting.REMOTE else values["attack"]["behaviours"]  # nobody is played here
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
        if pool["together"] < 0:
            raise errors.ConfigError(f"pool.together is {pool['together']}, expected 0 or more")
        try:
            settled, test = catalogue.configured(values["task"])
            agreed = _plan(values, settled)
            made = catalogue.load(agreed.task, seed=agreed.seed)
            for name in attack.values():
                hostile.find(name)
        except (client_errors.PlanError, client_errors.TaskError, client_errors.DataError) as error:
            raise errors.ConfigError(str(error)) from error
        _require_consistent(agreed, attack)
        if made.program is not None and (unfit := sorted(hostile.ON_EXAMPLES.intersection(attack.values()))):
            message = f"attack.behaviours has {', '.join(unfit)}, which change examples"
            raise errors.ConfigError(
                f"{message}: task={agreed.task.name} reads its own, so choose others, or attack=none"
            )
        if made.own and pool["name"] != hosting.REMOTE:
            message = f"task={agreed.task.name} has no data here, and pool.name is {pool['name']!r}"
            raise errors.ConfigError(f"{message}: choose pool=remote, where holders bring theirs")
        return cls(
            plan=agreed,
            test=test,
            hostile=attack,
            pool=pool["name"],
            hosting=hosting.Hosting.read(pool),
            workers=pool["workers"],
            threads=pool["threads"],
            together=pool["together"],
            address=_address(pool),
            folder=_folder(values, agreed, attack),
            api=_api(values["store"]),
            gateways=_gateways(values["store"]),
            url=_url(values["ledger"]),
            post_quantum=values["ledger"]["post_quantum"],
            profile=values["profile"],
            standby=values["standby"],
            witnesses=None
            if values["ledger"]["witnesses"] is None
            else recall.read_policy(Path(values["ledger"]["witnesses"])),
            resolved=resolved,
        )


def _address(pool: Mapping[str, Any]) -> str | None:
    """`auto` or HOST:PORT of a Ray cluster; None where one is started."""
    said = pool["address"]
    if said is None:
        return None
    if pool["name"] != "ray":
        raise errors.ConfigError(f"pool.address is {said}, which only pool=ray reads")
    host, _, port = said.rpartition(":")
    if said != "auto" and not (host and port.isdecimal() and int(port) <= 65_535 and "/" not in host):
        raise errors.ConfigError(f"pool.address is {said!r}, expected auto or HOST:PORT")
    return str(said)


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


def _gateways(store: Mapping[str, Any]) -> tuple[str, ...]:
    """URLs of trustless gateways. They are written to the run folder, so they hold no secret."""
    if not store["gateways"]:
        return ()
    from exchange import gateway  # noqa: PLC0415 - its client takes a tenth of a second to load

    try:
        return tuple(gateway.Gateway(each).url for each in store["gateways"])
    except exchange_errors.PeerError as error:
        raise errors.ConfigError(f"store.gateways: {error}") from error


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


def _plan(values: Mapping[str, Any], settled: taskplan.TaskPlan) -> plan.Plan:
    return plan.Plan(
        seed=values["seed"],
        rounds=values["rounds"],
        disclosure=values["disclosure"],
        audit_window=values["audit_window"],
        task=settled,
        rule=_rule(values),
        outer=plan.OuterPlan(**values["outer"]),
        privacy=plan.PrivacyPlan(**values["privacy"]),
        lattice=plan.LatticePlan(**values["lattice"]),
        cohort=plan.CohortPlan(members=_members(values), **values["cohort"]),
        credit=scoringplan.configured(values["credit"], founding.member_names(values["task"]["holders"])),
    )


def _members(values: Mapping[str, Any]) -> str:
    return "invited" if values["pool"]["name"] == hosting.REMOTE else "fixed"


def _rule(values: Mapping[str, Any]) -> plan.RulePlan:
    """The rule, or what `auto` stands for with so many holders a round: the plan names it, as any other."""
    asked = dict(values["rule"])
    if asked["name"] != guidance.AUTO and asked["pre"] == guidance.AUTO:
        asked["pre"] = "none"  # another rule was named, and nothing else
    if asked["name"] == guidance.AUTO:
        if asked["pre"] != guidance.AUTO:
            raise errors.ConfigError(f"rule.pre is {asked['pre']!r} while rule.name is auto, expected to be told both")
        cohort = values["cohort"]["size"] or values["task"]["holders"]
        if _members(values) == "invited":
            cohort = values["cohort"]["minimum"] or cohort  # as few as there may be
        try:
            chosen = guidance.choose(cohort, asked["byzantine"])
        except aggregation_errors.RuleError as error:
            raise errors.ConfigError(str(error)) from error
        asked |= {"name": chosen.rule, "pre": chosen.pre}
    return plan.RulePlan(**asked)


def _require_consistent(agreed: plan.Plan, attack: Mapping[str, str]) -> None:
    try:
        quorum.require(agreed)
    except (aggregation_errors.RuleError, client_errors.PlanError) as error:
        raise errors.ConfigError(str(error)) from error
    if agreed.cohort.members == "invited":
        return
    names = founding.member_names(agreed.task.holders)
    for name in attack:
        if name not in names:
            raise errors.ConfigError(f"attack.behaviours names {name!r}, but the holders are {names[0]} to {names[-1]}")
    if agreed.cohort.size > len(names):
        raise errors.ConfigError(f"cohort.size is {agreed.cohort.size}, but there are {len(names)} holders")
