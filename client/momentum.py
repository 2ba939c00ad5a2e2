"""A holder's own momentum: the moving mean of what it learned, kept across rounds and across crashes.

    m_r = beta m_(r-1) + (1 - beta) delta_r       m before the first round is zero

A safetensors file, private to the holder: two float32 tensors `after` (m_r) and `before` (m_(r-1)) under

    {"format":"folkmoot-momentum/v1","parent":"bafk...","round":"3","run":"<hex>"}

It is written before anything of round r is shown, so a holder that was killed and is asked for round r again sends the same
numbers. m_(r-1) is kept beside m_r for the same round from another parent: momentum never counts a round twice. A holder that
missed rounds goes on from the m it has.

References:
    Karimireddy, He, Jaggi 2021, "Learning from history for Byzantine robust optimization", algorithm 2.
    Farhadkhani, Guerraoui, Gupta, Pinot, Stephan 2022, "Byzantine machine learning made easy by resilient averaging of
    momentums", algorithm 1.
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from client import errors
from exchange import errors as exchange_errors
from exchange import tensors
from ledger import durable, statements

FORMAT = "folkmoot-momentum/v1"


def advance(before: torch.Tensor, delta: torch.Tensor, beta: float) -> torch.Tensor:
    """`beta * before + (1 - beta) * delta`, in float64, rounded once to float32 `(dim,)`."""
    return (before.to(torch.float64) * beta + delta.to(torch.float64) * (1 - beta)).to(torch.float32)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The momentum around one round.

    Attributes:
        opening: (run, round, parent) of the round.
        before: float32 `(dim,)`, the momentum it started from.
        after: float32 `(dim,)`, the momentum it ended with.
    """

    opening: tuple[str, int, str]
    before: torch.Tensor
    after: torch.Tensor


class Memory:
    """One file, replaced atomically.

    Args:
        path: of the file; its folder need not exist.
        dim: number of elements of the flat model.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self._path = path
        self._specs = tuple(tensors.TensorSpec(name=name, shape=(dim,)) for name in ("after", "before"))

    def known(self, opening: statements.RoundOpen) -> torch.Tensor | None:
        """The momentum already reached in this round, or None."""
        state = self._read()
        return state.after if state is not None and state.opening == _identity(opening) else None

    def before(self, opening: statements.RoundOpen) -> torch.Tensor:
        """The momentum that this round starts from: float32 `(dim,)`, zeros if the holder has none of this run.

        Raises:
            RefusalError: the momentum is that of a later round: what this one started from is no longer known.
            MomentumError: the file is damaged.
        """
        state = self._read()
        if state is None or state.opening[0] != opening.run:
            return torch.zeros(self._specs[0].size)
        if state.opening[1] > opening.round:
            message = f"round {opening.round} is asked for after momentum of round {state.opening[1]}"
            raise errors.RefusalError("old-round", f"{message}; what it started from is no longer known")
        return state.before if state.opening[1] == opening.round else state.after

    def keep(self, opening: statements.RoundOpen, *, before: torch.Tensor, after: torch.Tensor) -> None:
        """Write the momentum around a round down, durably, in place of the one around an earlier round."""
        run, number, parent = _identity(opening)
        metadata = {"format": FORMAT, "parent": parent, "round": str(number), "run": run}
        data = torch.cat([after, before]).numpy().astype("<f4", copy=False).data.cast("B")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = tensors.encode(self._specs, dtype="F32", data=data, metadata=metadata)
        durable.write(self._path, bytes(file), mode=0o600)

    def _read(self) -> State | None:
        if not self._path.exists():
            return None
        try:
            parsed = tensors.decode(self._path.read_bytes(), self._specs, dtype="F32", metadata=None)
        except exchange_errors.TensorsError as error:
            raise errors.MomentumError(f"{self._path.name}: {error}") from error
        run, number, parent = (parsed.metadata.get(name, "") for name in ("run", "round", "parent"))
        expected = {"format": FORMAT, "parent": parent, "round": number, "run": run}
        if parsed.metadata != expected or not number.isdecimal():
            raise errors.MomentumError(f"{self._path.name}: unexpected metadata {parsed.metadata!r}")
        after, before = torch.from_numpy(np.frombuffer(parsed.data, dtype="<f4").copy()).chunk(2)
        return State(opening=(run, int(number), parent), before=before, after=after)


def _identity(opening: statements.RoundOpen) -> tuple[str, int, str]:
    return opening.run, opening.round, opening.parent
