"""What a holder has given of what its policy limits: rounds, bytes, and noise that was or was not there.

One line of canonical JSON for each sealed update, written and synced *before* the update leaves:

    {"noise":"1.0","round":3,"run":"<hex>","size":15893,"time":1767225600}

The file goes with the data, not with a run: what two runs learn from the same examples adds up. An offer that is announced
again after a restart has its line, and spends nothing. A holder that dies between its line and its outbox seals again, with
other bytes and other noise, and spends again: nobody can know whether the first ones left.

Reference: docs/protocol.md P25.
"""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from client import errors
from ledger import canonical, durable
from ledger import errors as ledger_errors

DAY = 86_400


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One sealed update.

    Attributes:
        run: hex eid of the run's genesis.
        round: its number, from 1.
        size: of the update, in bytes.
        noise: the noise multiplier it was released with; 0 for none.
        time: seconds since 1970, never less than in the entry before.
    """

    run: str
    round: int
    size: int
    noise: float
    time: int

    def line(self) -> bytes:
        """The entry's one line."""
        where: dict[str, canonical.Json] = {"round": self.round, "run": self.run}
        return canonical.encode(where | {"noise": repr(self.noise), "size": self.size, "time": self.time}) + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """The entry of a line.

        Raises:
            SpendingError: anything but the one form of an entry.
        """
        try:
            match canonical.decode(line.removesuffix(b"\n")):
                case {
                    "noise": str(noise),
                    "round": int(number),
                    "run": str(run),
                    "size": int(size),
                    "time": int(when),
                }:
                    entry = cls(run=run, round=number, size=size, noise=float(noise), time=when)
                case other:
                    raise errors.SpendingError(f"{other!r}"[:100])
        except (ValueError, ledger_errors.LedgerError) as error:
            raise errors.SpendingError(f"{line[:100]!r}: {error}") from error
        if entry.line() != line or min(entry.size, entry.round, entry.time) < 0 or not entry.noise >= 0:
            raise errors.SpendingError(f"{line[:100]!r}")
        return entry


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the lines add up to.

    Attributes:
        entries: one for each sealed update, oldest first.
        now: seconds since 1970; the clock's, or the last entry's if the clock has gone back since.
    """

    entries: tuple[Entry, ...] = ()
    now: int

    @property
    def rounds(self) -> frozenset[tuple[str, int]]:
        """(run, round) of each round taken part in."""
        return frozenset((each.run, each.round) for each in self.entries)

    @property
    def today(self) -> frozenset[tuple[str, int]]:
        """Those of the last 24 hours."""
        return frozenset((each.run, each.round) for each in self.entries if each.time > self.now - DAY)

    @property
    def bytes_out(self) -> int:
        """Bytes that have left, or may have."""
        return sum(each.size for each in self.entries)

    @property
    def noises(self) -> tuple[float, ...]:
        """The noise multiplier of each release."""
        return tuple(each.noise for each in self.entries)


class Spending:
    """One file, appended to.

    Args:
        path: of the file; its folder need not exist.
        clock: seconds since 1970.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._lock = path.with_name(f"{path.name}.lock")
        self._clock = clock
        self._known: tuple[bytes, tuple[Entry, ...]] = b"", ()

    def so_far(self) -> Spent:
        """What was spent until now.

        Raises:
            SpendingError: the file is damaged. How much was spent is unknown then, so nothing more can be.
        """
        entries, _ = self._read()
        return self._spent(entries)

    def charge(
        self,
        *,
        run: str,
        number: int,
        size: int,
        noise: float,
        admit: Callable[[Spent], object],
        together: durable.Together | None = None,
    ) -> None:
        """Nothing; an entry for what is about to leave is on disk, with the time of now.

        Args:
            run: hex eid of the run.
            number: of the round.
            size: bytes that will leave.
            noise: the noise multiplier of the release, 0 for none.
            admit: asked with what was spent before, while nobody else can spend; raises if this is too much.
            together: files that become durable together, this entry with them: nothing may leave before they are finished.

        Raises:
            SpendingError: the file is damaged.
            OSError: the entry cannot be written; nothing may leave.
        """
        with self._locked():
            entries, whole = self._read()
            spent = self._spent(entries)
            admit(spent)
            self._append(Entry(run=run, round=number, size=size, noise=noise, time=spent.now), whole, together)

    def _spent(self, entries: tuple[Entry, ...]) -> Spent:
        # A clock that was set back would give a spent day again, and a policy that has expired.
        return Spent(entries=entries, now=max(int(self._clock()), entries[-1].time if entries else 0))

    def _read(self) -> tuple[tuple[Entry, ...], int]:
        """The entries, and the length of the file without a line that a crash cut short: nothing left on its strength."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            data = b""
        whole = data.rfind(b"\n") + 1
        # Others append too, so the file is read each time; what it begins with was most likely read before.
        before, entries = self._known if data.startswith(self._known[0]) else (b"", ())
        try:
            entries += tuple(Entry.parse(line) for line in data[len(before) : whole].splitlines(keepends=True))
        except errors.SpendingError as error:
            message = f"{self._path}: {error}: expected lines that this holder wrote; put back a copy, or consent anew"
            raise errors.SpendingError(message) from error
        self._known = data[:whole], entries
        return entries, whole

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        if not self._lock.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
        return durable.locked(self._lock)

    def _append(self, entry: Entry, whole: int, together: durable.Together | None) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with durable.named(self._path), os.fdopen(descriptor, "wb") as file:
            file.truncate(whole)
            file.seek(whole)
            file.write(entry.line())
            file.flush()
            if together is None:
                os.fsync(file.fileno())
        if together is None:
            durable.sync(self._path.parent)
        else:
            together.appended(self._path)
