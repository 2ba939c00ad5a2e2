"""Other age programs: how tests call them, or why a test without them is skipped."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from benchmarks import peers

TYPAGE = """
import { Encrypter, Decrypter, generateX25519Identity, generateHybridIdentity, identityToRecipient } from 'age-encryption';
import fs from 'fs';
const [verb, ...keys] = process.argv.slice(1);
if (verb === 'keys') {
  for (const identity of [await generateX25519Identity(), await generateHybridIdentity()])
    console.log(identity, await identityToRecipient(identity));
} else if (verb === 'recipient') {
  for (const identity of keys) console.log(await identityToRecipient(identity));
} else if (verb === 'seal') {
  const encrypter = new Encrypter();
  for (const recipient of keys) encrypter.addRecipient(recipient);
  process.stdout.write(await encrypter.encrypt(new Uint8Array(fs.readFileSync(0))));
} else {
  const decrypter = new Decrypter();
  for (const identity of keys) decrypter.addIdentity(identity);
  process.stdout.write(await decrypter.decrypt(new Uint8Array(fs.readFileSync(0))));
}
"""


def age(*arguments: str, data: bytes = b"") -> bytes:
    """What the system's `age` (or, as the first argument, `age-keygen`) writes; CalledProcessError if it refuses."""
    name = arguments[0] if arguments[:1] == ("age-keygen",) else "age"
    if shutil.which(name) is None:
        _lacking(name, "apt-get install age")
    rest = arguments[1:] if name == "age-keygen" else arguments
    return subprocess.run([name, *rest], input=data, capture_output=True, check=True).stdout


def typage(verb: str, *keys: str, data: bytes = b"") -> bytes:
    """What typage writes: `keys` of its own, the `recipient` of an identity, or `data` after `seal` or `open`."""
    folder = peers.FOLDER / "typage"
    if not (folder / "node_modules" / "age-encryption").is_dir() or shutil.which("node") is None:
        _lacking("age-encryption", "apt-get install npm, then python -m benchmarks.peers typage")
    command = ["node", "--input-type=module", "--eval", TYPAGE, "--", verb, *keys]
    return subprocess.run(command, input=data, capture_output=True, check=True, cwd=folder).stdout


def identity_files(folder: Path, identities: Sequence[str]) -> list[Path]:
    """One file for each identity, as `age -i` reads them."""
    paths = [folder / f"identity-{index}" for index in range(len(identities))]
    for path, identity in zip(paths, identities, strict=True):
        path.write_text(identity + "\n")
    return paths


def _lacking(what: str, how: str) -> NoReturn:
    if os.environ.get("FOLKMOOT_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{what} is missing, and FOLKMOOT_REQUIRE_SERVERS=1 wants it: {how}")
    pytest.skip(f"{what} is missing: {how}")
