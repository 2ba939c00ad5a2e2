"""Composed configuration: the one door to Hydra.

Hydra composes `conf/`, typed by `orchestrator.schema`; the result is turned once into a frozen `settings.RunConfig`. Nothing
else in folkmoot sees an OmegaConf node, and no configuration is ever instantiated: names are looked up in our own tables.
"""

import dataclasses
import difflib
import itertools
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import omegaconf
from hydra.core import config_store
from hydra.core.override_parser import overrides_parser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from yaml import YAMLError

from orchestrator import errors, schema, settings, taskschema

VERSION_BASE = "1.3"
VALUED_FLAGS = ("--config-dir", "-cd", "--cfg", "-c", "--info", "-i", "--package", "-p")
FLAGS = (*VALUED_FLAGS, "--multirun", "-m", "--resolve", "--hydra-help")


def launch(arguments: Sequence[str], task: Callable[[settings.RunConfig], None]) -> None:
    """Run `task` on what Hydra composes from `sys.argv`, which must end in `arguments`.

    Args:
        arguments: overrides, and Hydra's flags such as --multirun, --cfg job, --config-dir DIR.
        task: called once a job.

    Raises:
        ConfigError: the arguments compose to nothing that can run; nothing was started.
    """
    _register()
    flags, overrides = _split(arguments)
    _require_known(flags)
    for combination in _jobs(overrides, multirun=bool({"-m", "--multirun"} & set(flags))):
        compose(combination, config_dir=flags.get("--config-dir", flags.get("-cd")))

    def job(composed: omegaconf.DictConfig) -> None:
        task(_read(composed))

    hydra.main(version_base=VERSION_BASE, config_path="pkg://conf", config_name="config")(job)()


def compose(overrides: Sequence[str], *, config_dir: str | None = None) -> settings.RunConfig:
    """The run that `overrides` describe.

    Args:
        overrides: as on the command line, such as `rule=mean` or `task.holders=20`.
        config_dir: a folder whose groups are searched too.

    Raises:
        ConfigError: they describe none; one sentence says why.
    """
    _register()
    more = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []
    try:
        with hydra.initialize_config_module("conf", version_base=VERSION_BASE):
            return _read(hydra.compose("config", overrides=[*overrides, *more]))
    except (HydraException, omegaconf.errors.OmegaConfBaseException, ValueError) as error:
        raise errors.ConfigError(sentence(error)) from error


def simulated_in(resolved: Path) -> tuple[dict[str, str], int, int]:
    """Behaviour by name of the hostile holders, torch threads and `pool.together`, as a run folder has them."""
    try:
        saved: Any = OmegaConf.to_container(OmegaConf.load(resolved))
        pool = saved["pool"]
        return dict(saved["attack"]["behaviours"]), int(pool["threads"]), int(pool.get("together", 1))
    except (OSError, YAMLError, KeyError, TypeError, ValueError) as error:
        message = f"{resolved} is missing or damaged, and only it says who was hostile: restore it, or choose dir=NEW"
        raise errors.FolderError(message) from error


def witnesses_in(resolved: Path) -> Path | None:
    """The policy file that a run folder's `config.yaml` names; None if it names none, or is not there.

    Raises:
        FolderError: it is damaged.
    """
    try:
        saved: Any = OmegaConf.to_container(OmegaConf.load(resolved)) if resolved.exists() else {}
        named = saved.get("ledger", {}).get("witnesses")
        return None if named is None else Path(named)
    except (OSError, YAMLError, AttributeError, TypeError, ValueError) as error:
        raise errors.FolderError(
            f"{resolved} is damaged, and it says whose cosignature is asked: restore it"
        ) from error


def sentence(error: Exception) -> str:
    """What Hydra found wrong, as one sentence that names the key and what would do."""
    message = str(error)
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if found := re.search(r"Could not find '([^']+)/([^']+)'", message):
        group, option = found.groups()
        options = [line for line in lines if re.fullmatch(r"[a-z_0-9]+", line)]
        return f"{group}={option}: there is no such choice{_suggest(option, options)}"
    if found := re.search(r"Could not override '([^']+)'", message):
        *parents, last = found.group(1).split(".")
        if found.group(1).startswith("attack.behaviours"):
            return "add a hostile holder with +attack.behaviours.NAME=BEHAVIOUR, such as holder-01=sign_flip"
        return f"there is no key {found.group(1)!r}{_suggest(last, [key for key in _keys(parents) if key != last])}"
    if found := re.match(r"Error merging override (.+)", message):
        reason = str(error.__cause__ or message).splitlines()[0]
        return f"{found.group(1)}: {reason}"
    if "Ambiguous value" in message:
        return f"{lines[0].rstrip('.')}: several choices are one run each with --multirun"
    if isinstance(error, OverrideParseException):
        return f"cannot read the override {error.override!r}: expected KEY=VALUE"
    return lines[0] if lines else type(error).__name__


def _read(composed: omegaconf.DictConfig) -> settings.RunConfig:
    values: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    _require_keys(values, schema.Schema, "")
    return settings.RunConfig.from_values(values, resolved=OmegaConf.to_yaml(composed, resolve=True))


def _register() -> None:
    store = config_store.ConfigStore.instance()
    store.store(name="schema", node=schema.Schema)
    for name, keys in taskschema.TASKS.items():
        store.store(group="task_schema", name=name, node=keys)


def _split(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Hydra's flags with their values, and the overrides."""
    flags: dict[str, str] = {}
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if not argument.startswith("-"):
            overrides.append(argument)
        elif name in VALUED_FLAGS:
            flags[name] = value if equals else next(rest, "")
        else:
            flags[name] = ""
    return flags, overrides


def _require_known(flags: Mapping[str, str]) -> None:
    for flag, value in flags.items():
        if flag not in FLAGS:
            raise errors.ConfigError(f"there is no flag {flag}{_suggest(flag, FLAGS)}")
        if flag in {"--config-dir", "-cd"} and not Path(value).is_dir():
            raise errors.ConfigError(f"{flag} {value}: there is no such folder")


def _jobs(overrides: Sequence[str], *, multirun: bool) -> Iterator[list[str]]:
    """The overrides of each job: one, or every combination of the choices that --multirun sweeps."""
    if not multirun:
        yield list(overrides)
        return
    choices: list[list[str]] = []
    try:
        for override in overrides_parser.OverridesParser.create().parse_overrides(list(overrides)):
            if override.is_sweep_override() and override.is_discrete_sweep():
                choices.append([f"{override.get_key_element()}={each}" for each in override.sweep_string_iterator()])
            else:
                choices.append([str(override.input_line)])
    except HydraException as error:
        raise errors.ConfigError(sentence(error)) from error
    for combination in itertools.product(*choices):
        yield list(combination)


def _require_keys(values: dict[str, Any], kind: Any, where: str) -> None:  # noqa: ANN401  a dataclass type
    """Hydra lets `+key=1` and `~key` change which keys there are; a run has those of the schema."""
    hints = _hints(kind, values)
    for key in sorted(set(values) ^ set(hints)):
        known = f"there is no key {where}{key}" if key in values else f"the key {where}{key} is missing"
        raise errors.ConfigError(f"{known}{_suggest(key, list(hints))}")
    for key, hint in hints.items():
        if dataclasses.is_dataclass(hint):
            _require_keys(values[key], hint, f"{where}{key}.")


def _hints(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401  a dataclass type
    """The fields of a section and their types; a task has those of its name."""
    if kind is not taskschema.TaskSchema:
        return typing.get_type_hints(kind)
    name = values.get("name", "")
    if name not in taskschema.TASKS:
        raise errors.ConfigError(f"there is no task {name!r}{_suggest(name, list(taskschema.TASKS))}")
    return typing.get_type_hints(taskschema.TASKS[name])


def _keys(parents: Sequence[str]) -> list[str]:
    """Keys of the schema under `parents`, for a task those of any task; of its root where it has no such section."""
    if list(parents) == ["task"]:
        return sorted({key for each in taskschema.TASKS.values() for key in typing.get_type_hints(each)})
    kind: Any = schema.Schema
    for parent in parents:
        kind = typing.get_type_hints(kind).get(parent, schema.Schema)
    return list(typing.get_type_hints(kind)) if dataclasses.is_dataclass(kind) else []


def _suggest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(sorted(known))}"
