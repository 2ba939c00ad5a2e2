"""Asking witnesses to cosign a published checkpoint: the client's side of C2SP tlog-witness, over HTTP.

A witness that is slow, gone or refuses costs its cosignature and a sentence in the log, never the round. All are asked at
the same time, and all together have `SECONDS`.
"""

import asyncio
import dataclasses
import functools
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

import httpx

from exchange import trust
from ledger import checkpoint, errors, log, note, policy, witness

SECONDS = 5.0
ATTEMPTS = 3
MAX_ANSWER = 64 * 1024

_SIZE = re.compile(rb"(0|[1-9][0-9]{0,15})\n")

Prove = Callable[[int, int], Sequence[bytes]]


class _RefusedError(Exception):
    """What one witness did instead of cosigning."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of asking.

    Attributes:
        lines: cosignature lines, verified, of those that cosigned, by the policy's name of each.
        failures: why the others did not, by name.
    """

    lines: Mapping[str, str]
    failures: Mapping[str, str]


def endorse(record: log.Log, signed: bytes, chosen: policy.Policy, *, seconds: float = SECONDS) -> str:
    """Ask the policy's witnesses about the newest note, keep the cosignatures in the log, and say what is missing.

    Args:
        record: the log, which published `signed`.
        signed: its newest note, perhaps with cosignatures.
        chosen: who is asked and what suffices; witnesses without an address are not asked.
        seconds: for all of it.

    Returns:
        An empty string if the note, as the log now has it, meets the quorum; else one sentence for a person.

    Reference: docs/protocol.md P18.
    """
    text, _ = note.split(signed)
    cosigned = chosen.times(signed)
    silent = {name: each for name, each in chosen.witnesses.items() if name not in cosigned}
    sizes = [size for size, _ in record.notes()]
    asked = ask(silent, signed, sizes[-2] if len(sizes) > 1 else 0, record.consistency, seconds=seconds)
    if asked.lines:
        signed = record.endorse(f"{text}\n{''.join(asked.lines.values())}".encode())
    times = chosen.times(signed)
    if chosen.met(chosen.quorum, times):
        return ""
    why = "; ".join(f"{name}: {reason}" for name, reason in asked.failures.items())
    return f"{chosen.lacking(times)} ({why or 'no witness has an address'})"


def ask(
    witnesses: Mapping[str, policy.Witness], signed: bytes, old: int, prove: Prove, *, seconds: float = SECONDS
) -> Asked:
    """The cosignatures of a note by those witnesses that have an address.

    Args:
        witnesses: by name.
        signed: the log's note.
        old: entries of the checkpoint that the witnesses probably cosigned last; each says so if it was another.
        prove: the log's consistency proof between two sizes.
        seconds: for all of it.

    Reference: C2SP tlog-witness 1.1.0, "add-checkpoint".
    """
    return asyncio.run(_ask_all(witnesses, signed, old, prove, seconds))


async def _ask_all(
    witnesses: Mapping[str, policy.Witness], signed: bytes, old: int, prove: Prove, seconds: float
) -> Asked:
    named = {name: each for name, each in witnesses.items() if each.url}
    lines: dict[str, str] = {}
    failures: dict[str, str] = {}

    async def one(client: httpx.AsyncClient, name: str, each: policy.Witness) -> None:
        try:
            async with asyncio.timeout(seconds):
                lines[name] = await _ask_one(functools.partial(_post, client, each.url), each, signed, old, prove)
        except TimeoutError:
            failures[name] = f"no answer in {seconds:g} s"
        except (_RefusedError, httpx.HTTPError, httpx.InvalidURL, errors.LedgerError, UnicodeError) as error:
            failures[name] = str(error) or type(error).__name__

    # Neither a proxy nor a password is taken from the environment, and redirects are not followed: the policy says whom to ask.
    # What is packed would have to be unpacked before it can be bounded.
    headers = {"accept-encoding": "identity"}
    async with httpx.AsyncClient(verify=trust.context(), trust_env=False, timeout=seconds, headers=headers) as client:
        await asyncio.gather(*(one(client, name, each) for name, each in named.items()))
    return Asked(lines=lines, failures=failures)


async def _ask_one(
    post: Callable[[bytes], Awaitable[tuple[int, str, bytes]]],
    each: policy.Witness,
    signed: bytes,
    old: int,
    prove: Prove,
) -> str:
    size = checkpoint.LogCheckpoint.parse(note.split(signed)[0]).size
    for _ in range(ATTEMPTS):
        request = witness.Request(old=old, proof=tuple(prove(old, size)) if old else (), note=signed)
        status, kind, body = await post(request.to_bytes())
        if status == 200:
            return _verified(each, signed, body)
        told = _SIZE.fullmatch(body) if (status, kind) == (409, witness.SIZE) else None
        if told is None:
            raise _RefusedError(f"{status} {body[:200].decode('utf-8', 'replace').strip()!r}")
        old = int(told.group(1))
        if old > size:
            raise _RefusedError(f"it cosigned {old} entries before, more than the {size} of this checkpoint")
    raise _RefusedError(f"it named another size {ATTEMPTS} times")


def _verified(each: policy.Witness, signed: bytes, body: bytes) -> str:
    """The lines of an answer that are this witness'; every one must verify."""
    text, _ = note.split(signed)
    key = (each.verifier.name, note.key_id(each.verifier))
    lines = [line for line in note.parse_lines(body.decode()) if line[:2] == key]
    if not lines:
        raise _RefusedError(f"it answered with no cosignature of {each.verifier.name}")
    for line in lines:
        each.verifier.verify(text, line.signature)
    return str(lines[-1])


async def _post(client: httpx.AsyncClient, url: str, body: bytes) -> tuple[int, str, bytes]:
    """Status, content type and body of the answer to an add-checkpoint call."""
    async with client.stream("POST", f"{url.rstrip('/')}/add-checkpoint", content=body) as response:
        packed = response.headers.get("content-encoding", "identity")
        if packed != "identity":
            raise _RefusedError(f"content-encoding {packed[:40]!r}, which was not asked for")
        data = b""
        async for chunk in response.aiter_raw():
            data += chunk
            if len(data) > MAX_ANSWER:
                raise _RefusedError(f"its answer is longer than {MAX_ANSWER} bytes")
        return response.status_code, response.headers.get("content-type", ""), data
