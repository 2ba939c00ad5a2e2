"""A part of a plan: typed fields, numbers within their ranges, and one canonical form as JSON.

The ledger has no floats: real numbers travel as the shortest decimal text that reads back the same double
(docs/protocol.md P7).
"""

import dataclasses
import hashlib
import math
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Self

from client import errors
from ledger import canonical


def within(low: float, high: float) -> Any:  # noqa: ANN401  as `dataclasses.field`
    """A field whose value lies in low .. high, both included; of a list, the number of its entries."""
    return dataclasses.field(metadata={"low": low, "high": high})


def optional(default: str, among: Collection[str] = ()) -> Any:  # noqa: ANN401  as `dataclasses.field`
    """A text that a record has only where it is not `default`, so that what was agreed on before there was such a field stands.

    Args:
        default: what it is where the record has none.
        among: what it may be; empty for any text.
    """
    return dataclasses.field(default=default, metadata={"optional": True, "among": tuple(among)})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the plan: integers, texts, real numbers, lists of these and further sections, each number within its range."""

    WHERE: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if (among := field.metadata.get("among")) and value not in among:
                raise errors.PlanError(
                    f"{self.WHERE}{field.name} is {str(value)[:80]!r}, expected one of: {', '.join(among)}"
                )
            low, high = field.metadata.get("low"), field.metadata.get("high")
            if low is None or high is None:
                continue
            if isinstance(value, tuple) and not low <= len(value) <= high:
                has = f"{self.WHERE}{field.name} has {len(value)} entries"
                raise errors.PlanError(f"{has}, expected {low} to {high}")
            if not isinstance(value, tuple) and not low <= value <= high:
                raise errors.PlanError(f"{self.WHERE}{field.name} is {value}, expected {low} to {high}")

    def digest(self) -> str:
        """Hex sha256 of the section's record."""
        return hashlib.sha256(canonical.encode(self.to_record())).hexdigest()

    def to_record(self) -> dict[str, canonical.Json]:
        """The fields as canonical JSON values, real numbers as decimal text."""
        return {
            field.name: _write(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if not field.metadata.get("optional") or getattr(self, field.name) != field.default
        }

    @classmethod
    def form(cls, record: object) -> type[Self]:  # noqa: ARG003  for those that have several
        """Which kind of this section `record` spells: itself, for one that has no kinds."""
        return cls

    @classmethod
    def from_record(cls, record: object) -> Self:
        """The section that `record` spells, if it has exactly the fields of this section.

        Raises:
            PlanError: a field is missing, unknown, of another type or outside its range; the message names it.
        """
        form = cls.form(record)
        hints = typing.get_type_hints(form)
        absent = {field.name: field.default for field in dataclasses.fields(form) if field.metadata.get("optional")}
        if isinstance(record, Mapping):
            absent = {name: default for name, default in absent.items() if record.get(name, default) == default}
        kinds = {field.name: hints[field.name] for field in dataclasses.fields(form) if field.name not in absent}
        if not isinstance(record, Mapping) or set(record) != set(kinds):
            found = sorted(map(str, record)) if isinstance(record, Mapping) else record
            raise errors.PlanError(
                f"{cls.WHERE.rstrip('.') or 'plan'}: expected the fields {sorted(kinds)}, got {found!r}"
            )
        values: dict[str, Any] = {name: _read(record[name], kind, cls.WHERE + name) for name, kind in kinds.items()}
        return form(**values)


def _write(value: float | str | Section | tuple[float | str, ...]) -> canonical.Json:
    if isinstance(value, Section):
        return value.to_record()
    if isinstance(value, tuple):
        return [_write(each) for each in value]
    return repr(value) if isinstance(value, float) else value


def _read(value: object, kind: Any, where: str) -> object:  # noqa: ANN401  a type, or tuple[float, ...]
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise errors.PlanError(f"{where}: expected a list, got {value!r}")
        inner = typing.get_args(kind)[0]
        return tuple(_read(each, inner, f"{where}[{number}]") for number, each in enumerate(value))
    if issubclass(kind, Section):
        return kind.from_record(value)
    if kind is not float:
        if type(value) is not kind:
            raise errors.PlanError(f"{where}: expected {kind.__name__}, got {value!r}")
        return value
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        number = math.nan
    if math.isnan(number) or repr(number) != value:
        raise errors.PlanError(f"{where}: expected a real number as its shortest decimal text, got {value!r}")
    return number
