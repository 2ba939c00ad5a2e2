"""The age identities of a run's rounds, one file each, of whoever opens updates: the coordinator, or an aggregator."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from exchange import recipients
from ledger import durable


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """The folder `keys/rounds` of somebody's folder; made when it is first needed."""

    root: Path

    def made(self, number: int) -> str:
        """Text of the identity of round `number`, made at first use and then kept.

        It is on disk before anybody is told its recipient, so a crash in between cannot lose a round.
        """
        path = self._path(number)
        if not path.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            with durable.locked(
                self.root.with_name("rounds.lock")
            ):  # of two who both think that they act, one makes it
                if not path.exists():
                    durable.write(path, str(recipients.X25519Identity.generate()).encode() + b"\n", mode=0o600)
        return path.read_text().strip()

    def kept(self, number: int) -> str | None:
        """Text of the identity of round `number`; None if there is none, or none any more."""
        path = self._path(number)
        return path.read_text().strip() if path.exists() else None

    def forget(self, last: int, *, but: Collection[int] = ()) -> None:
        """Delete, durably, the identities of rounds up to `last`, but for those of some rounds."""
        for path in self.root.glob("*.age"):
            if int(path.stem) <= last and int(path.stem) not in but:
                path.unlink()
        if self.root.is_dir():  # whoever deleted one before may have been killed before this
            durable.sync(self.root)

    def _path(self, number: int) -> Path:
        return self.root / f"{number}.age"


def recipient(identity: str) -> recipients.Recipient:
    """Whom one seals to, for the identity of this text to open."""
    return recipients.parse_identity(identity).recipient
