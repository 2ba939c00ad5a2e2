"""An invitation to a run: the one secret line by which somebody takes the place that was kept for a name.

    folkmoot-invite-1.eyJrZXkiOiI...

After the dot stands, in base64url without padding, the canonical JSON {"key":<seed, hex>,"name":<name>,"run":<hex eid>}. The
name is enrolled under the key of that seed; who holds the line changes it to a key of its own (`member.rotate`), and from then
on the line is void. The run's eid is the hash of the signed genesis, so it also says whom to trust as the coordinator.
"""

import base64
import binascii
import dataclasses
from collections.abc import Callable
from typing import Self

from client import errors
from ledger import canonical, fields, keys
from ledger import errors as ledger_errors

PREFIX = "folkmoot-invite-1."
MAX_CHARACTERS = 512
_READERS: dict[str, Callable[[canonical.Json], str]] = {
    "key": fields.read_hex64,
    "name": fields.read_name,
    "run": fields.read_hex64,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A place in a run; whoever reads its text can take the place.

    Attributes:
        run: hex eid of the genesis.
        name: the member that the place is for.
        seed: the 32 bytes of the key that the name is enrolled under.
    """

    run: str
    name: str
    seed: bytes = dataclasses.field(repr=False)

    @property
    def key(self) -> keys.SigningKey:
        """The key that the name is enrolled under until its holder has put its own in its place."""
        return keys.SigningKey.from_seed(self.seed)

    @property
    def text(self) -> str:
        """The line.

        Reference: docs/protocol.md P23.
        """
        record = canonical.encode({"key": self.seed.hex(), "name": self.name, "run": self.run})
        return PREFIX + base64.urlsafe_b64encode(record).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The invitation of one line, white space around it ignored.

        Raises:
            InvitationError: any other text; there is one text for each invitation. The message does not repeat it.

        Reference: docs/protocol.md P23.
        """
        line = text.strip()
        try:
            values = _values(line)
        except (binascii.Error, ValueError, ledger_errors.StatementError):
            values = None
        if values is not None:
            read = cls(run=values["run"], name=values["name"], seed=bytes.fromhex(values["key"]))
            if read.text == line:
                return read
        raise errors.InvitationError(
            f"{len(line)} characters are no invitation, expected one whole line that begins with {PREFIX}"
        )


def _values(line: str) -> dict[str, str] | None:
    body = line.removeprefix(PREFIX)
    if body == line or len(line) > MAX_CHARACTERS:
        return None
    record = canonical.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    if not isinstance(record, dict) or record.keys() != _READERS.keys():
        return None
    return {name: read(record[name]) for name, read in _READERS.items()}
