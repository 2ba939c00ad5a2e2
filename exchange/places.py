"""Where the files of a run are: in a folder of this machine, and where it is so configured in IPFS nodes too."""

from dataclasses import dataclass
from pathlib import Path

from exchange import blocks, layered, pins, store

SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a process needs to know to open a run's store.

    Attributes:
        folder: whose `blocks/` is the block store; whatever is put or fetched is there.
        api: addresses of IPFS nodes. What is put goes to the first that takes it; what is missing is asked of all in turn.
        gateways: URLs of trustless gateways, which are asked after the nodes; nothing is put there.
    """

    folder: Path
    api: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()


def fetched(folder: Path, url: str) -> store.Store:
    """The files that a trustless gateway has, in a folder once they were asked for.

    Args:
        folder: whose `blocks/` keeps them; it may be missing.
        url: of the gateway, or of a run's service, which is one.

    Raises:
        PeerError: the URL is none.
    """
    from exchange import gateway  # noqa: PLC0415 - its client takes a tenth of a second to load

    folder.mkdir(parents=True, exist_ok=True)
    return layered.Layered(blocks.BlockStore(folder), {url: gateway.Gateway(url)}, staging=folder)


def open(place: Place, *, settle: bool = False) -> store.Store:  # noqa: A001 - as the store that it is for
    """The store at a place.

    Args:
        place: where it is.
        settle: whether nodes that took nothing earlier are given now what they are owed; else they are asked nothing yet.

    Raises:
        PeerError: an address or a URL is none.
    """
    local = blocks.BlockStore(place.folder)
    if not place.api and not place.gateways:
        return local
    peers: dict[str, store.Store] = {}
    if place.api:
        from exchange import ipfs  # noqa: PLC0415 - its client takes a tenth of a second to load

        peers = {address: ipfs.IpfsStore(address, seconds=SECONDS) for address in place.api}
    if place.gateways:
        from exchange import gateway  # noqa: PLC0415 - likewise

        peers |= {url: gateway.Gateway(url, patience=SECONDS, seconds=SECONDS) for url in place.gateways}
    owed = pins.Pins(local.blocks / "owed", durable=True)
    both = layered.Layered(local, peers, push=place.api, copies=1, owed=owed)
    if settle:
        both.settle()
    return both
