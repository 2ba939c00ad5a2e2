"""What the commands that use a block store share: which folder it is, and the gateways beside it."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.commands import refusal

if TYPE_CHECKING:
    from exchange import blocks, store

RUNS = Path("runs")


@contextlib.contextmanager
def opened(folder: Path | None, *, make: bool = False) -> "Iterator[blocks.BlockStore]":
    """The block store in a folder; what it refuses ends the command.

    Args:
        folder: None for that of the latest run.
        make: whether it may be missing.
    """
    from exchange import blocks  # noqa: PLC0415  `--help` need not wait
    from orchestrator import errors  # noqa: PLC0415
    from orchestrator import folder as run_folder  # noqa: PLC0415

    try:
        where = run_folder.newest(RUNS).store if folder is None else folder
        if not make and not (where / "blocks").is_dir():
            message = f"{where} holds no blocks (no {where / 'blocks'})"
            raise errors.FolderError(f"{message}: `folkmoot store add FILE --store {where}` makes a store")
        with blocks.BlockStore(where) as held:
            yield held
    except refusal.OURS as error:
        refusal.fail(error)


@contextlib.contextmanager
def reading(folder: Path | None, urls: Sequence[str]) -> "Iterator[Sequence[store.Store]]":
    """The stores that are read, one after the other: a folder, with gateways behind it, or only gateways.

    Args:
        folder: None for that of the latest run, or for none if there are gateways.
        urls: of gateways.
    """
    from exchange import gateway, layered  # noqa: PLC0415

    try:
        with contextlib.ExitStack() as stack:
            peers = {url: stack.enter_context(gateway.Gateway(url)) for url in urls}
            if folder is None and peers:
                yield list(peers.values())
            else:
                held = stack.enter_context(opened(folder, make=bool(peers)))
                yield [layered.Layered(held, peers, staging=held.folder if held.folder.is_dir() else None)]
    except refusal.OURS as error:
        refusal.fail(error)


def address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT; raises BadParameter."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{text!r}, expected HOST:PORT", param_hint="--listen")
    return host.strip("[]"), int(port)
