"""The file form of a policy: a mapping of clauses, in a part of YAML that has one reading.

    # comment                       to the end of a line
    rounds: 30                      numbers, dates, true and false stand without quotes, in decimal
    coordinators: [SHA256:...]      or one `- text` a line
    privacy: {epsilon: 8.0, delta: 1e-6}

No anchors, aliases, tags, second documents or deeper nesting, no clause twice, none that is unknown. What YAML 1.1 would
make of a scalar (`1e-6` a text, `010` eight, `no` false) has no say: each clause reads the characters as its own kind.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeAlias

import yaml

from client import errors

LIMIT = 65_536
"""Most bytes of a policy file."""
DEEPEST = 2

Read: TypeAlias = Callable[[yaml.Node, str], object]
"""A kind of clause: the value of a node, under the clause's name for messages."""


def read(data: bytes, kinds: Mapping[str, Read]) -> dict[str, object]:
    """The values of the clauses that a file has, by name.

    Args:
        data: the file.
        kinds: how each clause is read.

    Raises:
        PolicyError: anything else than such a file; the message names line and clause.
    """
    if len(data) > LIMIT:
        raise errors.PolicyError(f"a policy of {len(data):,} bytes: expected at most {LIMIT:,}")
    try:
        text = data.decode()
        _flat(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise errors.PolicyError(
            f"a policy that is not UTF-8: {error}", line=data[: error.start].count(b"\n") + 1
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 0
        said = getattr(error, "problem", None) or str(error)
        raise errors.PolicyError(f"line {line}: {said}: expected a mapping of clauses in YAML", line=line) from error
    return {} if node is None else mapping(kinds)(node, "")


def mapping(kinds: Mapping[str, Read]) -> Callable[[yaml.Node, str], dict[str, object]]:
    """Reads a mapping of such clauses, each at most once."""

    def read_mapping(node: yaml.Node, where: str) -> dict[str, object]:
        if not isinstance(node, yaml.MappingNode):
            refuse(node, where, f"a mapping of: {', '.join(kinds)}")
        values: dict[str, object] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name not in kinds:
                refuse(key, where or (ascii(name)[:80] if name else ""), f"one of: {', '.join(kinds)}")
            if name in values:
                refuse(key, f"{where}.{name}".lstrip("."), "it once")
            values[name] = kinds[name](value, f"{where}.{name}".lstrip("."))
        return values

    return read_mapping


def texts(pattern: str, expected: str) -> Read:
    """Reads a list of texts of one form, as a set."""
    compiled = re.compile(pattern)

    def read_texts(node: yaml.Node, where: str) -> frozenset[str]:
        if not isinstance(node, yaml.SequenceNode):
            refuse(node, where, f"a list, each {expected}")
        for item in node.value:
            if not isinstance(item, yaml.ScalarNode) or not compiled.fullmatch(item.value):
                refuse(item, where, expected)
        return frozenset(item.value for item in node.value)

    return read_texts


def natural(node: yaml.Node, where: str) -> int:
    """Reads an integer of 0 to 2**53 - 1 in decimal."""
    value = int(_plain(node, where, r"0|[1-9][0-9]{0,15}", "an integer, 0 or more"))
    if value >= 2**53:
        refuse(node, where, "an integer below 2**53")
    return value


def real(node: yaml.Node, where: str) -> float:
    """Reads a real number of 0 or more, or `.inf`."""
    pattern = r"[0-9]{1,30}(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?|\.inf"
    text = _plain(node, where, pattern, "a number of 0 or more, or .inf for any")
    return float(text.removeprefix("."))


def date(node: yaml.Node, where: str) -> dt.date:
    """Reads a date, year-month-day."""
    text = _plain(node, where, r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "a date such as 2027-12-31")
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        refuse(node, where, "a date of the calendar")


def boolean(node: yaml.Node, where: str) -> bool:
    """Reads true or false."""
    return _plain(node, where, "true|false", "true or false") == "true"


def refuse(node: yaml.Node, where: str, expected: str) -> NoReturn:
    """Nothing; raises PolicyError with line, clause and what was found there.

    Raises:
        PolicyError: Always.
    """
    line = node.start_mark.line + 1
    found = ascii(node.value)[:80] if isinstance(node, yaml.ScalarNode) else f"a {node.id}"
    raise errors.PolicyError(f"line {line}, {where or 'policy'}: {found}, expected {expected}", line=line, clause=where)


def _plain(node: yaml.Node, where: str, pattern: str, expected: str) -> str:
    """The characters of a scalar without quotes that match the whole of a pattern (ASCII digits)."""
    if not isinstance(node, yaml.ScalarNode) or node.style is not None or not re.fullmatch(pattern, node.value):
        refuse(node, where, expected)
    return str(node.value)


def _flat(text: str) -> None:
    """Nothing; refuses what could make composing long or deep, before anything is composed."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        line = event.start_mark.line + 1
        if depth > DEEPEST:
            raise errors.PolicyError(f"line {line}: a list or mapping too deep for a policy", line=line)
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise errors.PolicyError(f"line {line}: an anchor, alias or tag, expected none in a policy", line=line)
