"""What a request to a trustless gateway asks for: one block, or the blocks of a file as a CAR.

    /ipfs/<cid>?format=raw          Accept: application/vnd.ipld.raw
    /ipfs/<cid>?format=car          Accept: application/vnd.ipld.car; version=1; order=dfs; dups=y

Reference: IPFS Trustless Gateway Specification, "HTTP Request"; docs/protocol.md P21.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from exchange import cid as cids
from exchange import errors

RAW = "application/vnd.ipld.raw"
CAR = "application/vnd.ipld.car"
PROBE = "bafkqaaa"

_FORMATS = {"raw": RAW, "car": CAR}
_SCOPES: Mapping[str, Literal["block", "entity", "all"]] = {"block": "block", "entity": "entity", "all": "all"}
_PARAMETERS = ("version", "order", "dups")
_SPAN = re.compile(r"(-?[0-9]{1,18}):(-?[0-9]{1,18}|\*)")


class RefusedError(Exception):
    """A request that is answered with a status and a sentence.

    Attributes:
        status: of HTTP, 400 or above.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for.

    Attributes:
        name: of the block or file; None for the probe, the empty identity CID.
        kind: RAW or CAR.
        scope: "block" for the root alone; the other two are the same here, where all is files.
        twice: whether a block that is there several times is sent several times.
        span: first and last byte as `entity-bytes` says them, the last None for the end; None for all.
        explicit: whether the URL alone says the kind.
    """

    name: cids.Cid | None
    kind: str
    scope: Literal["block", "entity", "all"] = "all"
    twice: bool = False
    span: tuple[int, int | None] | None = None
    explicit: bool = True

    @property
    def text(self) -> str:
        """The CID as it stands in the URL."""
        return PROBE if self.name is None else str(self.name)

    @property
    def content_type(self) -> str:
        """What is sent."""
        return RAW if self.kind == RAW else f"{CAR}; version=1; order=dfs; dups={'y' if self.twice else 'n'}"

    @property
    def etag(self) -> str:
        """Changes with everything that changes the bytes."""
        if self.kind == RAW:
            return f'"{self.text}.raw"'
        span = "" if self.span is None else f".{self.span[0]}-{'' if self.span[1] is None else self.span[1]}"
        return f'"{self.text}.car.v1.dfs.{"y" if self.twice else "n"}.{self.scope}{span}"'


def parse(text: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> Wanted:
    """What a request asks for.

    Args:
        text: the CID in the path.
        query: the parameters; unknown ones are ignored.
        headers: by name in lower case.

    Raises:
        RefusedError: 400 for what makes no sense, 406 for what is not made here.

    Reference: Trustless Gateway, "Request Headers", "Request Query Parameters".
    """
    chosen = dict(query)
    if len(chosen) != len(query):
        raise RefusedError(400, "a parameter is there twice")
    accepted = _accepted(headers.get("accept", ""))
    kind = _kind(chosen.get("format"), accepted)
    try:
        name = None if text == PROBE else cids.Cid.parse(text)
    except errors.CidError as error:
        raise RefusedError(400, str(error)) from None
    explicit = "format" in chosen
    if kind == RAW:
        return Wanted(name=name, kind=kind, explicit=explicit)
    variant = dict.fromkeys(_PARAMETERS, "") | accepted.get(CAR, {})
    variant |= {key: chosen[f"car-{key}"] for key in _PARAMETERS if f"car-{key}" in chosen}
    if variant["version"] not in ("", "1") or variant["order"] not in ("", "dfs", "unk"):
        raise RefusedError(406, "CARs are made here in version 1 and order dfs alone")
    if variant["dups"] not in ("", "y", "n"):
        raise RefusedError(406, f"dups={variant['dups'][:20]!r}, expected y or n")
    return Wanted(
        name=name,
        kind=kind,
        scope=_scope(chosen),
        twice=variant["dups"] == "y",
        span=_span(chosen.get("entity-bytes")),
        explicit=explicit,
    )


def _kind(asked: str | None, accepted: Mapping[str, Mapping[str, str]]) -> str:
    if asked is not None:
        if asked not in _FORMATS:
            raise RefusedError(406, f"format={asked[:40]!r}, expected raw or car")
        return _FORMATS[asked]
    if not accepted or list(accepted) == ["*/*"]:
        raise RefusedError(400, f"say what you want: format=raw or format=car, or Accept: {RAW} or {CAR}")
    for kind in accepted:
        if kind in (RAW, CAR):
            return kind
    raise RefusedError(406, f"only {RAW} and {CAR} are made here")


def _accepted(header: str) -> dict[str, dict[str, str]]:
    """The types in an Accept header that are wanted at all, best first, with their parameters."""
    found: list[tuple[float, str, dict[str, str]]] = []
    for each in header.lower().split(",")[:32]:
        kind, *rest = (part.strip() for part in each.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        weight = parameters.pop("q", "1")
        quality = float(weight) if re.fullmatch(r"[01](\.[0-9]{0,3})?", weight) else 0.0
        if kind and quality > 0:
            found.append((quality, kind, parameters))
    found.sort(key=lambda entry: -entry[0])
    best: dict[str, dict[str, str]] = {}
    for _, kind, parameters in found:
        best.setdefault(kind, parameters)
    return best


def _scope(chosen: Mapping[str, str]) -> Literal["block", "entity", "all"]:
    if "entity-bytes" in chosen:
        return "entity"
    scope = chosen.get("dag-scope", "all")
    if scope not in _SCOPES:
        raise RefusedError(400, f"dag-scope={scope[:40]!r}, expected block, entity or all")
    return _SCOPES[scope]


def _span(text: str | None) -> tuple[int, int | None] | None:
    if text is None:
        return None
    found = _SPAN.fullmatch(text)
    if found is None:
        raise RefusedError(400, f"entity-bytes={text[:40]!r}, expected FROM:TO, two numbers, or * for the end")
    return int(found[1]), None if found[2] == "*" else int(found[2])
