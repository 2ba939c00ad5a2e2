"""What can be wrong with bytes from outside.

    ExchangeError
     +- CidError                    a text or bytes that is no CID we accept
     +- CarError                    not a CAR file, or one of a kind that we refuse
     +- StoreError                  a store could not do its work (no space, no permission, ...)
     |   +- BlockMissingError       a block is not here
     |   +- BlockCorruptError       bytes that do not hash to their CID, or a tree that is not the profile's
     |   +- TooLargeError           more bytes than the caller allowed
     |   +- QuotaError              more bytes than the store may hold
     |   +- BusyError               others write, and did not stop in time
     |   +- ReadOnlyError           the store takes nothing from us
     |   +- PeerError               a node or gateway answered nonsense, too late, or not at all
     +- SealError                   not an age file, or one that is damaged
     |   +- KeyTextError            a text that is no age recipient or identity
     |   +- RecipientError          well-formed, but no identity given opens it
     |   +- ContextError            opened, but bound to another (run, round, parent, sender)
     +- TensorsError                not safetensors in our one byte form
         +- TensorNamesError        a tensor is missing, or one is there that nobody asked for
         +- TensorShapeError        a tensor has another shape
         +- TensorDtypeError        a tensor has another type of element
         +- TensorContextError      the metadata is not what was expected

`code` is the reason that goes on the ledger when an update is rejected, so it is part of the protocol.
"""

from typing import ClassVar


class ExchangeError(Exception):
    """Bytes that were refused, or that could not be stored."""

    code: ClassVar[str] = "exchange"


class CidError(ExchangeError):
    """A text or bytes that is no CID we accept."""

    code: ClassVar[str] = "bad-cid"


class CarError(ExchangeError):
    """Not a CAR file of version 1, one that is cut off, or one of a kind that we refuse."""

    code: ClassVar[str] = "bad-car"


class StoreError(ExchangeError):
    """A store could not do its work; the cause is the operating system's error."""

    code: ClassVar[str] = "store"


class BlockMissingError(StoreError):
    """A block is not here."""

    code: ClassVar[str] = "block-missing"


class BlockCorruptError(StoreError):
    """Bytes that do not hash to their CID, or a file tree that is not the one the profile lays out."""

    code: ClassVar[str] = "block-corrupt"


class TooLargeError(StoreError):
    """More bytes than the caller allowed."""

    code: ClassVar[str] = "too-large"


class QuotaError(StoreError):
    """More bytes than the store may hold."""

    code: ClassVar[str] = "quota"


class BusyError(StoreError):
    """Others write to the store, and did not stop in time."""

    code: ClassVar[str] = "busy"


class ReadOnlyError(StoreError):
    """The store takes nothing from us, or keeps nothing for us."""

    code: ClassVar[str] = "read-only"


class PeerError(StoreError):
    """A node or gateway, which the message names, answered nonsense, too late, or not at all."""

    code: ClassVar[str] = "peer"


class SealError(ExchangeError):
    """Not an age file, or one that is damaged: bad header, bad MAC, truncated, bad chunk."""

    code: ClassVar[str] = "seal-garbage"


class KeyTextError(SealError):
    """A text that is no age recipient or identity."""

    code: ClassVar[str] = "seal-key"


class RecipientError(SealError):
    """A well-formed age file that no identity given opens."""

    code: ClassVar[str] = "seal-recipient"


class ContextError(SealError):
    """A sealed file that is bound to another (run, round, parent, sender)."""

    code: ClassVar[str] = "seal-context"


class TensorsError(ExchangeError):
    """Not safetensors in our one byte form."""

    code: ClassVar[str] = "tensors-garbage"


class TensorNamesError(TensorsError):
    """A tensor is missing, or one is there that nobody asked for."""

    code: ClassVar[str] = "tensors-names"


class TensorShapeError(TensorsError):
    """A tensor has another shape."""

    code: ClassVar[str] = "tensors-shape"


class TensorDtypeError(TensorsError):
    """A tensor has another type of element."""

    code: ClassVar[str] = "tensors-dtype"


class TensorContextError(TensorsError):
    """The metadata is not what was expected."""

    code: ClassVar[str] = "tensors-context"
