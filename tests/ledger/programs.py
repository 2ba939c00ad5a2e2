"""Programs that read what we export: where they are, or why a test without them is skipped."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from benchmarks import peers


def bean_check() -> Path:
    """The checker of beancount, of the peers or of the system."""
    ours = peers.FOLDER / "accounting" / "bin" / "bean-check"
    found = str(ours) if ours.exists() else shutil.which("bean-check")
    return Path(found) if found else _lacking("bean-check", "make peers")


def hledger() -> Path:
    """The program hledger, of the system."""
    found = shutil.which("hledger")
    return Path(found) if found else _lacking("hledger", "apt-get install hledger")


def merkle_tree() -> Path:
    """The folder in which node finds @openzeppelin/merkle-tree."""
    folder = peers.FOLDER / "distribution"
    if not (folder / "node_modules" / "@openzeppelin" / "merkle-tree").is_dir() or shutil.which("node") is None:
        _lacking("@openzeppelin/merkle-tree", "apt-get install npm, then make peers")
    return folder


def strace() -> str:
    """The program strace, of the system."""
    return shutil.which("strace") or _lacking("strace", "apt-get install strace")


def ssh_keygen() -> str:
    """The program ssh-keygen, of the system."""
    return shutil.which("ssh-keygen") or _lacking("ssh-keygen", "apt-get install openssh-client")


def _lacking(what: str, how: str) -> NoReturn:
    if os.environ.get("FOLKMOOT_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{what} is missing, and FOLKMOOT_REQUIRE_SERVERS=1 wants it: {how}")
    pytest.skip(f"{what} is missing: {how}")
