"""The command `folkmoot ledger witness`: cosign the checkpoints of named logs, each only if it extends the one before."""

import logging
import time
from pathlib import Path

import click

from orchestrator.commands import refusal


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--log", "logs", metavar="VKEY", multiple=True, required=True, help="Verifier key of a log; may be repeated."
)
@click.option("--listen", default="127.0.0.1:8765", show_default=True, metavar="HOST:PORT", help="Where to answer.")
@click.option("--name", default="folkmoot.local/witness", show_default=True, help="Name of the witness' key.")
def witness(folder: Path, logs: tuple[str, ...], listen: str, name: str) -> None:
    """Be a witness: answer C2SP tlog-witness requests about the logs named, until Ctrl-C.

    The key and the memory lie in FOLDER; the key is made at first use. Whoever relies on this witness takes the verifier key
    that is printed first. It listens on this machine alone unless told otherwise; put a proxy with TLS before it for others.

    \b
    folkmoot ledger witness ~/witness --log folkmoot/fe85...+16...+AR...
    """  # noqa: D301  click reads the escape
    from ledger import cosignature, memory, note, vkey  # noqa: PLC0415  `--help` need not wait
    from ledger import witness as ledger_witness  # noqa: PLC0415
    from orchestrator import errors, service  # noqa: PLC0415
    from orchestrator import folder as run_folder  # noqa: PLC0415

    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{listen!r}, expected HOST:PORT", param_hint="--listen")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        note.check_name(name)
        known: dict[str, list[note.Verifies]] = {}
        for text in logs:
            verifier = vkey.parse(text)
            known.setdefault(verifier.name, []).append(verifier)
        remembered = folder / "memory"
        if (folder / "key").exists() and not remembered.is_dir():
            message = f"{remembered} is missing: a witness that forgot what it cosigned would cosign a fork"
            raise errors.FolderError(f"{message}. Restore it, or begin a new witness in another folder")
        remembered.mkdir(parents=True, exist_ok=True)
        signer = cosignature.Signer(name=name, key=run_folder.made_key(folder / "key"))
        keeper = ledger_witness.Witness(memory.Memory(remembered), [signer], known)
        with service.listen(host.strip("[]"), int(port)) as sock:
            click.echo(note.vkey(signer.verifier))
            where = "http://{}:{}".format(*sock.getsockname()[:2])
            click.echo(f"witness of {', '.join(known)} at {where}, since {time.strftime('%F %T')}")
            service.server(service.application(keeper)).run(sockets=[sock])
    except refusal.OURS as error:
        refusal.fail(error)
