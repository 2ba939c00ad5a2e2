"""The commands `folkmoot store ...`: what a block store holds, what goes in and comes out, and serving it to others."""

import json
import logging
import sys
import time
from pathlib import Path

import click

from orchestrator.commands import holding, reading, transfer

EPILOG = "FOLDER is a run folder or any other that holds blocks/, or nothing for the latest run in runs/."
FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
STORE = click.option(
    "--store", "folder", type=click.Path(path_type=Path, file_okay=False), help="Folder; the latest run's if left out."
)


@click.group()
def store() -> None:
    """Put files into a block store, get them out of it or from others, keep them, serve them.

    \b
    folkmoot store add model.safetensors --store ~/blocks
    folkmoot store get bafybei... --from https://holder.example
    folkmoot store serve runs/digits-3ef265d7
    """  # noqa: D301  click reads the escape


@store.command()
@click.argument("files", type=click.Path(path_type=Path, exists=True, dir_okay=False), nargs=-1, required=True)
@STORE
@click.option("--no-pin", is_flag=True, help="Leave the files to the next gc.")
@reading.AS_JSON
def add(files: tuple[Path, ...], folder: Path | None, *, no_pin: bool, as_json: bool) -> None:
    """Store FILES, pin them, and print their CIDs: those that any IPFS node with the profile unixfs-v1-2025 gives them.

    The folder is made if it is missing. Ctrl-C never leaves half a file under its name: what was stored of it are blocks, which
    `ls` shows as such, and which go with a gc once they are an hour old.

    \b
    folkmoot store add model.safetensors --store ~/blocks
    folkmoot store add *.safetensors --no-pin --json
    """  # noqa: D301
    from exchange import assembly  # noqa: PLC0415  `--help` need not wait

    with holding.opened(folder, make=True) as held:
        for path in files:
            with path.open("rb") as file, transfer.read(file, path.name, path.stat().st_size) as watched:
                name = held.put_file(watched)
            if not no_pin:
                held.pin(name)
            size = assembly.size(name, held.block)
            record = {"cid": str(name), "size": size, "file": str(path), "pinned": not no_pin}
            click.echo(json.dumps(record) if as_json else f"{name}  {size:>14,}  {path}")


@store.command()
@click.argument("cid")
@STORE
@click.option(
    "--from", "urls", metavar="URL", multiple=True, help="A gateway, asked for what is not in the store; in order."
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="File to write, - for standard output.")
@click.option("--limit", type=click.IntRange(0), default=64 << 30, help="Most bytes it may have; 64 GiB if left out.")
@reading.AS_JSON
def get(
    cid: str, folder: Path | None, urls: tuple[str, ...], output: Path | None, limit: int, *, as_json: bool
) -> None:
    """Write the file CID, every block of it verified, to a file of that name or to --output, which must not exist.

    With --from it comes from a gateway, ours or any other IPFS trustless gateway, and is kept in the store if --store names
    one. The file appears when it is whole, or not at all.

    \b
    folkmoot store get bafybei... -o model.safetensors
    folkmoot store get bafybei... --from http://10.0.0.7:8766 --from https://holder.example
    folkmoot store get bafybei... --store ~/blocks --from https://holder.example -o - | age -d -i key.txt
    """  # noqa: D301
    with holding.reading(folder, urls) as held:
        size, where = transfer.written(held, cid, output or Path(cid), limit=limit)
    if as_json:
        click.echo(json.dumps({"cid": cid, "size": size, "file": where}), err=where == "-")
    elif where != "-":
        click.echo(f"{where}: {size:,} bytes")


@store.command()
@click.argument("cids", metavar="CID...", nargs=-1, required=True)
@STORE
def pin(cids: tuple[str, ...], folder: Path | None) -> None:
    """Keep files, all of whose blocks must be here.

    \b
    folkmoot store pin bafybei... --store ~/blocks
    """  # noqa: D301
    with holding.opened(folder) as held:
        for cid in cids:
            held.pin(cid)
            click.echo(f"{cid} is kept")


@store.command()
@click.argument("cids", metavar="CID...", nargs=-1, required=True)
@STORE
def unpin(cids: tuple[str, ...], folder: Path | None) -> None:
    """Leave files to the next gc.

    \b
    folkmoot store unpin bafybei... --store ~/blocks
    """  # noqa: D301
    with holding.opened(folder) as held:
        for cid in cids:
            held.unpin(cid)
            click.echo(f"{cid} is not kept")


@store.command(epilog=EPILOG)
@FOLDER
@click.option(
    "--grace", type=click.FloatRange(0), default=3600.0, show_default=True, help="Spare what is younger, seconds."
)
@click.option("--everything", is_flag=True, help="Collect although nothing is pinned.")
@reading.AS_JSON
def gc(folder: Path | None, grace: float, *, everything: bool, as_json: bool) -> None:
    """Remove every block that no pinned file needs. Refused where nothing is pinned at all.

    \b
    folkmoot store gc ~/blocks
    folkmoot store gc runs/digits-3ef265d7 --grace 86400
    """  # noqa: D301
    from orchestrator import errors  # noqa: PLC0415  `--help` need not wait

    with holding.opened(folder) as held:
        if not everything and next(held.pins(), None) is None:
            message = f"nothing is pinned in {held.folder}: all its blocks would go"
            raise errors.FolderError(f"{message}. `folkmoot store pin` what must stay, or say --everything")
        with reading.status("collecting"):
            done = held.collect(grace=grace)
    if as_json:
        click.echo(json.dumps({"removed": done.blocks, "size": done.size, "kept": done.kept}))
    else:
        click.echo(f"{done.blocks:,} blocks of {done.size:,} bytes removed, {done.kept:,} kept")


@store.command(epilog=EPILOG)
@FOLDER
@reading.AS_JSON
def ls(folder: Path | None, *, as_json: bool) -> None:
    """List the files: CID, bytes, and whether they are pinned.

    "block" stands beside what is not pinned and has exactly 1 MiB: a file of that size, or a part of a larger one that was
    never stored to its end, or whose root is gone.

    \b
    folkmoot store ls ~/blocks
    """  # noqa: D301
    with holding.opened(folder) as held:
        for file in held.ls():
            if as_json:
                said = {"cid": str(file.cid), "size": file.size, "pinned": file.pinned, "block": file.block}
                click.echo(json.dumps(said))
            else:
                size = "damaged" if file.size is None else f"{file.size:,}"
                click.echo(
                    f"{file.cid}  {size:>14}  {'pinned' if file.pinned else 'block' if file.block else ''}".rstrip()
                )


@store.command(epilog=EPILOG)
@FOLDER
@reading.AS_JSON
def verify(folder: Path | None, *, as_json: bool) -> None:
    """Hash every block, and look for what pinned files lack. Exits 1 if anything is damaged or missing.

    \b
    folkmoot store verify ~/blocks
    """  # noqa: D301
    checked = size = damages = 0
    with holding.opened(folder) as held, reading.status("hashing"):
        for verdict in held.verify():
            checked, size = checked + 1, size + verdict.size
            if verdict.error is not None:
                damages += 1
                said = {"cid": str(verdict.cid), "error": verdict.error.code, "why": str(verdict.error)}
                click.echo(json.dumps(said) if as_json else f"{verdict.cid}  {verdict.error}")
    if as_json:
        click.echo(json.dumps({"ok": not damages, "blocks": checked, "size": size, "damaged": damages}))
    else:
        click.echo(f"{checked:,} blocks of {size:,} bytes, {damages or 'none'} damaged or missing")
    if damages:
        sys.exit(1)


@store.command(epilog=EPILOG)
@FOLDER
@click.option("--listen", default="127.0.0.1:8766", show_default=True, metavar="HOST:PORT", help="Where to answer.")
@click.option(
    "--rate", type=click.FloatRange(0), default=128.0, show_default=True, help="Requests a second by address."
)
@click.option(
    "--each", type=click.IntRange(0), default=32, show_default=True, help="Connections of one address; 0 for no limit."
)
def serve(folder: Path | None, listen: str, rate: float, each: int) -> None:
    """Serve the blocks to whoever knows their CIDs, as an IPFS trustless gateway, until Ctrl-C.

    It only reads. It listens on this machine alone unless told otherwise; put a proxy with TLS before it for others, which
    then has to limit rate and connections by address: to us it is one, so say --each 0 and a larger --rate.

    \b
    folkmoot store serve
    folkmoot store serve ~/blocks --listen 0.0.0.0:8766
    curl -O 'http://127.0.0.1:8766/ipfs/bafybei...?format=car'
    """  # noqa: D301
    from orchestrator import blockservice, service  # noqa: PLC0415  `--help` need not wait

    host, port = holding.address(listen)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    with holding.opened(folder) as held, service.listen(host, port) as sock:
        where = "http://{}:{}".format(*sock.getsockname()[:2])
        click.echo(f"{held.folder} at {where}/ipfs/<cid>, since {time.strftime('%F %T')}")
        sys.stdout.flush()
        limits = blockservice.Limits(rate=rate, each=blockservice.EACH if each else 0)
        service.server(blockservice.application(held, limits), each=each).run(sockets=[sock])
