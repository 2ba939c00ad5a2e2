"""The commands `folkmoot ledger prove`, `check`, `judge` and `key`: proofs that need no log to be checked."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.commands import reading, refusal

if TYPE_CHECKING:
    from orchestrator import archive


@click.command(epilog=reading.EPILOG)
@reading.PLACE
@click.option("--entry", type=click.IntRange(0), help="Prove that this entry is in the log.")
@click.option("--since", type=click.IntRange(0), help="Prove that the log of this size is a prefix of it.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), help="Folder for the files of --entry.")
@reading.AS_JSON
def prove(place: str | None, entry: int | None, since: int | None, out: Path, *, as_json: bool) -> None:
    """Write the proof of one entry, or print that an earlier size is a prefix of the log.

    --entry N writes N.leaf, the entry's bytes, and N.tlog-proof, the path to the signed checkpoint. With the log's key
    (`folkmoot ledger check`) whoever has the two needs nothing else.

    \b
    folkmoot ledger prove --entry 20
    folkmoot ledger prove runs/digits-3ef265d7 --since 100
    """  # noqa: D301
    if (entry is None) == (since is None):
        raise click.UsageError("expected one of --entry and --since")
    with reading.opened(place) as found:
        size = found.promise.size
        if entry is None:
            path = found.record.consistency(since or 0, size)
            record: dict[str, Any] = {"since": since, "size": size, "hashes": [step.hex() for step in path]}
            said = f"the log of {since} entries is a prefix of that of {size}: {len(path)} hashes"
        else:
            files = _write_proof(found, entry, out)
            record = {"entry": entry, "size": size, "files": [str(path) for path in files]}
            said = "\n".join(str(path) for path in files)
    click.echo(json.dumps(record) if as_json else said)


@click.command()
@click.argument("proof", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("leaf", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--key", required=True, help="The log's verifier key, as `folkmoot ledger key` prints it.")
@reading.AS_JSON
def check(proof: Path, leaf: Path, key: str, *, as_json: bool) -> None:
    """Check a proof file against the entry's bytes and the log's key, offline. Exits 1 where it does not hold.

    \b
    folkmoot ledger check 20.tlog-proof 20.leaf --key folkmoot/...+1234abcd+AZ...
    """  # noqa: D301
    from ledger import leaf as leaves  # noqa: PLC0415
    from ledger import proof as proofs  # noqa: PLC0415
    from orchestrator import archive  # noqa: PLC0415

    try:
        parsed = proofs.Proof.parse(_read(proof, proofs.MAX_BYTES))
        promise = parsed.verify(_read(leaf, leaves.MAX_BYTES), archive.trusting(key))
    except refusal.OURS as error:
        refusal.fail(error)
    if as_json:
        click.echo(json.dumps({"ok": True, "entry": parsed.index, "size": promise.size, "origin": promise.origin}))
    else:
        click.echo(f"entry {parsed.index} is in {promise.origin} of {promise.size} entries")


@click.command(epilog=reading.EPILOG)
@reading.PLACE
@reading.AS_JSON
def key(place: str | None, *, as_json: bool) -> None:
    """Print the log's verifier key, with which others check its checkpoints and proofs; the post-quantum one after it.

    \b
    folkmoot ledger key runs/digits-3ef265d7
    """  # noqa: D301
    from ledger import cosignature, note  # noqa: PLC0415
    from orchestrator import archive, folder, journal  # noqa: PLC0415

    with reading.opened(place) as found:
        member = journal.coordinator(archive.proven(found))
        name = found.promise.origin
        verifiers: list[note.Verifies] = [note.Verifier(name=name, key=member.key_at(found.promise.size))]
        second = folder.RunFolder(root=Path(found.place)).second_key()
    if second is not None:
        verifiers.append(cosignature.Verifier(name=name, key=second.public))
    lines = [note.vkey(each) for each in verifiers]
    click.echo(json.dumps({"vkeys": lines}) if as_json else "\n".join(lines))


@click.command()
@click.argument("evidence", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--key", required=True, help="The log's verifier key, as `folkmoot ledger key` prints it.")
@reading.AS_JSON
def judge(evidence: Path, key: str, *, as_json: bool) -> None:
    """Judge the evidence that a refused checkpoint left, with the log's key alone. Exits 0 if it convicts the log, else 1.

    \b
    folkmoot ledger judge ~/.local/state/folkmoot/4f2a.../... --key folkmoot/...+1234abcd+AZ...
    """  # noqa: D301
    from ledger import evidence as kept  # noqa: PLC0415
    from ledger import vkey  # noqa: PLC0415

    try:
        finding = kept.Evidence.read(evidence).judge(vkey.parse(key))
    except refusal.OURS as error:
        refusal.fail(error)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(finding)))
    else:
        click.echo(f"{'convicts' if finding.convicts else 'does not convict'}: {finding.why}")
    sys.exit(0 if finding.convicts else 1)


def _read(path: Path, limit: int) -> bytes:
    """The file's bytes, one more than `limit` at most: whoever parses them refuses a longer file."""
    with path.open("rb") as file:
        return file.read(limit + 1)


def _write_proof(found: "archive.Archive", entry: int, out: Path) -> list[Path]:
    from ledger import durable, proof  # noqa: PLC0415

    size = found.promise.size
    if entry >= size:
        raise click.UsageError(f"entry {entry} is not in the signed checkpoint, which has {size} entries")
    [each] = found.record.entries(entry, entry + 1)
    path = tuple(found.record.inclusion(entry, size))
    written = proof.Proof(index=entry, path=path, note=found.note)
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"{entry}.leaf", out / f"{entry}.tlog-proof"]
    for file, data in zip(files, (each.leaf, written.to_bytes()), strict=True):
        durable.write(file, data)
    return files
