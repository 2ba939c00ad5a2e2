"""Where the files of a run are: in a folder of this machine, and where it is so configured in IPFS nodes too."""

from dataclasses import dataclass
from pathlib import Path

from exchange import blocks, layered, store

SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a process needs to know to open a run's store.

    Attributes:
        folder: whose `blocks/` is the block store; whatever is put or fetched is there.
        api: addresses of IPFS nodes. What is put goes to the first that takes it; what is missing is asked of all in turn.
    """

    folder: Path
    api: tuple[str, ...] = ()


def open(place: Place) -> store.Store:  # noqa: A001 - as the store that it is for
    """The store at a place; nothing is asked of a node yet.

    Raises:
        PeerError: an address is none.
    """
    local = blocks.BlockStore(place.folder)
    if not place.api:
        return local
    from exchange import ipfs  # noqa: PLC0415 - its client takes a tenth of a second to load

    peers = {address: ipfs.IpfsStore(address, seconds=SECONDS) for address in place.api}
    return layered.Layered(local, peers, push=place.api, copies=1)
