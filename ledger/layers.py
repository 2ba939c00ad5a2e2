"""A mapping that never changes, and shares nearly all of itself with the one that has a key more.

::

    newest   {c}          each layer more than twice as large as the one before it;
             {a, b', d}   a key counts where it stands first
    oldest   {a, b, e, f, g, h, i, j}

To put a key on top costs a copy of the smallest layers alone: of log n keys on average, whatever is put where.
"""

from collections.abc import Iterator, Mapping, ValuesView
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Layers(Mapping[K, V], Generic[K, V]):
    """Key -> value, in the order in which keys first came."""

    __slots__ = ("_layers", "_size")

    def __init__(self, values: Mapping[K, V] | None = None) -> None:
        self._layers: tuple[dict[K, V], ...] = (dict(values),) if values else ()
        self._size = len(values or ())

    def __getitem__(self, key: K) -> V:
        for layer in self._layers:
            if key in layer:
                return layer[key]
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return any(key in layer for layer in self._layers)

    def __iter__(self) -> Iterator[K]:
        return iter(self._merged())

    def values(self) -> ValuesView[V]:
        """The values, in the order in which their keys first came."""
        return self._merged().values()

    def __len__(self) -> int:
        return self._size

    def having(self, key: K, value: V) -> "Layers[K, V]":
        """This mapping, in which `key` has `value`."""
        top, below = {key: value}, self._layers
        while below and len(below[0]) <= 2 * len(top):
            top, below = below[0] | top, below[1:]
        made: Layers[K, V] = Layers()
        made._layers = (top, *below)
        made._size = self._size + (key not in self)
        return made

    def _merged(self) -> dict[K, V]:
        merged: dict[K, V] = {}
        for layer in reversed(self._layers):
            merged |= layer
        return merged
