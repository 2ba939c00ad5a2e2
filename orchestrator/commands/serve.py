"""The command `folkmoot serve`: the one address that the holders of a run speak to."""

import json
import logging
import sys
import time
from pathlib import Path

import click

from orchestrator.commands import refusal

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(short_help="Serve a run to its holders and readers.")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all of this machine's."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8767,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--cert", type=_FILE, help="PEM file of the certificate chain, for TLS.")
@click.option("--key", type=_FILE, help="PEM file of the certificate's private key.")
@click.option(
    "--proxy-headers-from",
    "proxy",
    metavar="ADDR",
    default="",
    help="Believe this proxy, and no other, when it says (X-Forwarded-For) whose request it hands on.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0),
    default=128.0,
    show_default=True,
    help="Requests a second that one address may make.",
)
@click.option(
    "--burst",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help="Requests that one address may make at once, before --rate counts.",
)
@click.option(
    "--connections",
    type=click.IntRange(1),
    default=1024,
    show_default=True,
    help="Connections that may be open at the same time.",
)
@click.option(
    "--each",
    type=click.IntRange(0),
    default=256,
    show_default=True,
    help="Of them, from one address; 0 for no limit, also of its requests and files at the same time.",
)
@click.option(
    "--tails",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help="Holders and others that may follow the log at the same time.",
)
@click.option(
    "--quota", type=click.IntRange(1), help="Bytes that the run's files may have in all; no limit if left out."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, the first with the URL.")
def serve(
    *,
    folder: Path,
    host: str,
    port: int,
    cert: Path | None,
    key: Path | None,
    proxy: str,
    quota: int | None,
    as_json: bool,
    **given: float,
) -> None:
    """Serve the run in FOLDER to its holders and to whoever reads its log, until Ctrl-C.

    `folkmoot run pool=remote` starts one by itself. Start one where the run has none (pool.port=null), with TLS, or for those
    who want to audit it when it is over.

    It holds no key: it takes signed statements and the files that they announce, and gives out the log and its files. It may be
    killed at any time. FOLDER may be empty still; until a run is founded there the answer is 503.

    It listens on this machine alone unless told otherwise. For others give it --host with --cert and --key, or put a proxy with
    TLS before it, and name that with --proxy-headers-from: else all limits by address count the proxy as one.

    \b
    folkmoot serve runs/digits-3ef265d7
    folkmoot serve runs/digits-3ef265d7 --host 0.0.0.0 --port 443 --cert chain.pem --key key.pem
    folkmoot serve runs/digits-3ef265d7 --proxy-headers-from 127.0.0.1 --json
    curl -N 'http://127.0.0.1:8767/tail?from=0'       the log as it grows

    Exit codes: 2 a mistake in the command, or it cannot listen there; 130 stopped by Ctrl-C, 143 by SIGTERM.
    """  # noqa: D301  click reads the escape
    from orchestrator import folder as run_folder  # noqa: PLC0415  `--help` need not wait
    from orchestrator import service  # noqa: PLC0415
    from orchestrator.serving import application, limits, server  # noqa: PLC0415

    if (cert is None) != (key is None):
        raise click.UsageError("--cert and --key belong together")
    counts = {name: int(given[name]) for name in ("burst", "connections", "each", "tails")}
    allowed = limits.Limits(rate=given["rate"], **counts)
    logging.basicConfig(level=logging.INFO, format="%(message)s" if as_json else "%(asctime)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    logging.getLogger("orchestrator.blockservice").setLevel(logging.WARNING)
    try:
        where = run_folder.RunFolder(root=folder)
        served = application.Service(where, allowed, as_json=as_json, quota=quota)
        line = server.Line(certificate=cert, key=key, proxy=proxy)
        running = server.server(served.app, allowed, line, closing=served.close)
        with service.listen(host.strip("[]"), port) as sock:
            name, number = sock.getsockname()[:2]
            scheme, shown = "http" if cert is None else "https", f"[{name}]" if ":" in name else name
            url = f"{scheme}://{shown}:{number}"
            told = {"url": url, "folder": str(folder)}
            click.echo(json.dumps(told) if as_json else f"{folder} at {url}, since {time.strftime('%F %T')}")
            sys.stdout.flush()
            running.run(sockets=[sock])
    except refusal.OURS as error:
        refusal.fail(error)
