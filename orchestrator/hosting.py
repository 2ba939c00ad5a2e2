"""Holders elsewhere, as the configuration says it: whom to invite, and where the service that they reach listens."""

import dataclasses
import urllib.parse
from collections.abc import Mapping
from typing import Any, Self

from ledger import errors as ledger_errors
from ledger import fields
from orchestrator import errors, founding

REMOTE = "remote"
KEYS = ("members", "aggregators", "host", "port", "url")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """A run whose holders join over the network.

    Attributes:
        members: names to invite as holders.
        aggregators: names to invite as aggregators.
        host: where the service listens.
        port: of the service, 0 for a free one; None where the run starts none.
        url: what holders reach the service by; None for where it listens.
    """

    members: tuple[str, ...]
    aggregators: tuple[str, ...]
    host: str
    port: int | None
    url: str | None

    @property
    def guests(self) -> dict[str, str]:
        """The role of each name to invite."""
        return dict.fromkeys(self.members, "holder") | dict.fromkeys(self.aggregators, "aggregator")

    @classmethod
    def read(cls, pool: Mapping[str, Any]) -> Self | None:
        """The hosting that the configuration of a pool describes; None where holders are played here.

        Raises:
            ConfigError: a value that no hosting has, or one that another pool does not read.
        """
        if pool["name"] != REMOTE:
            for key in KEYS:
                if pool[key]:
                    raise errors.ConfigError(f"pool.{key} is {pool[key]}, which only pool=remote reads")
            return None
        port = pool["port"]
        if not pool["host"]:
            raise errors.ConfigError("pool.host is missing, expected an address such as 127.0.0.1 or 0.0.0.0")
        if port is not None and not 0 <= port <= 65_535:
            raise errors.ConfigError(f"pool.port is {port}, expected 0 to 65535, or null for no service")
        if pool["url"] is not None and urllib.parse.urlsplit(pool["url"]).scheme not in ("http", "https"):
            raise errors.ConfigError(f"pool.url is {pool['url']!r}, expected one that begins with http:// or https://")
        members, aggregators = _names(pool["members"], "members"), _names(pool["aggregators"], "aggregators")
        if both := set(members).intersection(aggregators):
            raise errors.ConfigError(f"pool.aggregators has {min(both)}, expected nobody who is in pool.members")
        return cls(members=members, aggregators=aggregators, host=pool["host"], port=port, url=pool["url"])


def _names(members: list[str], key: str) -> tuple[str, ...]:
    for each in members:
        try:
            fields.read_name(each)
        except ledger_errors.StatementError as error:
            raise errors.ConfigError(f"pool.{key}: {error}") from error
    if len(set(members)) != len(members) or founding.COORDINATOR in members:
        raise errors.ConfigError(f"pool.{key} is {members}, expected distinct names, none of them the coordinator's")
    return tuple(members)
