"""What the verifiers in Python share: reading the published files. Imports nothing of folkmoot.

Evidence is a folder: `vkey`, the log's verifier key; `log`, the published files; `earlier`, a note of before; `proofs`, proof
files named by their index.
"""

import base64
import json
import sys
from pathlib import Path

WIDTH = 256


class RefusedError(Exception):
    """The evidence does not hold."""


def main(verify):
    """Verify each evidence folder of the command line: a line of JSON for each; exits 1 if one was refused."""
    refused = False
    for name in sys.argv[1:]:
        try:
            found = verify(Path(name))
        except Exception as error:  # noqa: BLE001 - a verifier may refuse in any way
            found = {"refused": f"{type(error).__name__}: {error}"[:300]}
            refused = True
        sys.stdout.write(json.dumps({"evidence": name, **found}) + "\n")
    sys.exit(refused)


def key(evidence):
    """(name, key id, 32 bytes) of the log's key."""
    name, identity, encoded = (evidence / "vkey").read_text().strip().split("+", 2)
    return name, bytes.fromhex(identity), base64.b64decode(encoded)[1:]


def checkpoint(evidence):
    """(signed text, signature lines as (name, key id and signature), size, root) of the published checkpoint, unverified."""
    return parse_note((evidence / "log" / "checkpoint").read_bytes())


def parse_note(data):
    """The same, of any note."""
    text, _, signatures = data.decode().rpartition("\n\n")
    lines = [line.removeprefix("\u2014 ").split(" ") for line in signatures.splitlines()]
    _, size, root = text.split("\n")[:3]
    return text.encode() + b"\n", [(name, base64.b64decode(rest)) for name, rest in lines], int(size), root


def path(number, width):
    """Where a bundle lies; this log has fewer than 1,000."""
    return f"tile/entries/{number:03d}" + (f".p/{width}" if width < WIDTH else "")


def leaves(evidence):
    """The leaves of all bundles that the checkpoint's size asks for."""
    size = checkpoint(evidence)[2]
    for number in range(-(-size // WIDTH)):
        width = min(WIDTH, size - number * WIDTH)
        data, at = (evidence / "log" / path(number, width)).read_bytes(), 0
        for _ in range(width):
            length = int.from_bytes(data[at : at + 2], "big")
            leaf = data[at + 2 : at + 2 + length]
            if len(leaf) != length or at + 2 > len(data):
                raise RefusedError(f"bundle {number} ends early")
            yield leaf
            at += 2 + length
        if at != len(data):
            raise RefusedError(f"bundle {number} goes on")


def proofs(evidence):
    """(index, hashes, note) of each proof file."""
    for file in sorted((evidence / "proofs").iterdir()):
        head, _, signed = file.read_text().partition("\n\n")
        first, index, *hashes = head.split("\n")
        if first != "c2sp.org/tlog-proof@v1" or index != f"index {file.stem}":
            raise RefusedError(f"{file.name} says {first} {index}")
        yield int(file.stem), [base64.b64decode(line) for line in hashes], signed
