"""What a Flower app remembers at a holder (`Context.state`), kept across rounds and across crashes.

Records (client.records), private to the holder:

    {"about": {"run","round","parent","before","after"}}      before, after: the state around the round, as records

As with momentum (client.momentum): a holder that was killed and is asked for the same round again starts it from the same
state, and a round counts once.
"""

import os
from pathlib import Path

from client import errors, records
from ledger import durable, statements

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when flwr is imported
from flwr import app

NAME = "app_state"
ABOUT = "about"


class Memory:
    """One file, replaced atomically; none as long as the app remembers nothing.

    Args:
        folder: the holder's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._there: bool | None = None

    def before(self, opening: statements.RoundOpen) -> app.RecordDict:
        """The state that this round starts from; empty in the first one.

        Raises:
            RefusalError: it is that of a later round: what this one started from is no longer known.
            RecordsError: the file is damaged.
        """
        self._there = self._path.exists()
        if not self._there:
            return app.RecordDict()
        about = records.decode(self._path.read_bytes())[ABOUT]
        if about["run"] != opening.run:
            return app.RecordDict()
        if about["round"] > opening.round:
            message = f"round {opening.round} is asked for after the app's state of round {about['round']}"
            raise errors.RefusalError("old-round", f"{message}; what it started from is no longer known")
        return records.decode(about["before" if about["round"] == opening.round else "after"])

    def keep(self, opening: statements.RoundOpen, *, before: bytes, after: app.RecordDict) -> None:
        """Write down, durably, the state around a round; nothing, if there is and was none."""
        if not after and not (self._path.exists() if self._there is None else self._there):
            return
        about = {
            "run": opening.run,
            "round": opening.round,
            "parent": opening.parent,
            "before": before,
            "after": records.encode(after),
        }
        file = records.encode(app.RecordDict({ABOUT: app.ConfigRecord(about)}))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        durable.write(self._path, file, mode=0o600)
