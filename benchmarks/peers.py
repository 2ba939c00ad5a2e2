"""Peers, each in a folder of its own under `.peers/`, set up when a benchmark or an oracle test first asks for it.

    .peers/byzfl        the package alone, beside our torch: its declared dependencies would replace torch by a CUDA build
    .peers/flwr         a virtual environment: flwr pins packages that we pin otherwise
    .peers/fedml        a virtual environment: FedML's contribution module, with numpy below 2
    .peers/engine       a virtual environment: Flower's simulation engine with the ray that it pins, and our torch behind it
    .peers/pfl          a virtual environment: pfl, whose dp-accounting is older than ours, and our torch behind it
    .peers/flwr-1.40    the package alone, beside our own; likewise each minor that we work with and do not pin
    .peers/verifiers    a virtual environment: what checks our log in tests; some of it is under the GPL, so nothing imports it
    .peers/accounting   a virtual environment: beancount, whose checker tests call; it is under the GPL
    .peers/distribution a folder of npm: @openzeppelin/merkle-tree, to which tests give the list for a distribution
    .peers/typage       a folder of npm: age-encryption, which seals and opens for post-quantum recipients as we do
    .peers/ipfs         a folder of npm: js-ipfs, the nodes of the tests' own, as pinned in tests/ipfs

A peer runs in a process of its own, from a script beside this file, or beside the tests for verifiers, that imports nothing
of ours, and prints JSON.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import errors

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".peers"
VERSIONS: Mapping[str, str] = {"byzfl": "0.0.11", "engine": "1.41.0", "flwr": "1.41.0"}
NAMES: Mapping[str, str] = {"engine": "flwr[simulation]"}
"""What a peer is called by pip, where that is not its name here."""
PINNED: Mapping[str, Path] = {
    "verifiers": ROOT / "tests/ledger/interop/requirements.txt",
    "accounting": ROOT / "tests/ledger/accounting.txt",
    "pfl": ROOT / "benchmarks/peer_speed/pfl.txt",
    "fedml": ROOT / "benchmarks/fedml.txt",
}
"""Peers of several packages: all of them and what they need, each in one version."""
BEHIND = ("engine", "pfl")
"""Peers whose own packages come first, and who find what they lack, which is torch, with us."""
FLOWERS = ("flwr-1.40", "flwr-1.42")
BESIDE: Mapping[str, str] = {
    "byzfl": f"byzfl=={VERSIONS['byzfl']}",
    "fuzz": "atheris==3.0.0",
    "flwr-1.40": "flwr==1.40.0",
    "flwr-1.42": "flwr==1.42.0",
}
"""Peers that run in our environment, without what they declare to need."""
NODE: Mapping[str, str] = {
    "distribution": "@openzeppelin/merkle-tree@1.0.8",
    "typage": "age-encryption@0.3.1",
}
"""Peers that npm installs."""
LOCKED: Mapping[str, Path] = {"ipfs": ROOT / "tests/ipfs"}
"""Peers that npm installs with all they need, each in one version: folders of a package.json, its lock and a script."""


def install(name: str) -> Path:
    """The folder of a peer, set up if it is not yet.

    Raises:
        PeerError: it cannot be installed; the message ends with what pip said.
    """
    where = FOLDER / name
    if name in NODE:
        return _npm(where, NODE[name].rpartition("@")[2], "install", "--silent", "--prefix", str(where), NODE[name])
    if name in LOCKED:
        return _locked(where, LOCKED[name])
    pinned = PINNED.get(name)
    version = hashlib.sha256(pinned.read_bytes()).hexdigest()[:12] if pinned else _version(name)
    done = where / f".{version}"
    if not done.exists():
        if name in BESIDE:
            _pip(Path(sys.executable), "--no-deps", "--upgrade", "--target", str(where), BESIDE[name])
        else:
            venv.create(where, with_pip=True, clear=True)
            # aics-witness asks for Python 3.12, and runs on 3.11.
            whole = ("--no-deps", "--ignore-requires-python", "--requirement", str(pinned))
            wanted = whole if pinned else (f"{NAMES.get(name, name)}=={version}", f"numpy=={metadata.version('numpy')}")
            _pip(where / "bin" / "python", *wanted)
            if name in BEHIND:
                (ours, theirs) = (sysconfig.get_path("purelib", vars=each) for each in ({}, {"base": str(where)}))
                Path(theirs, "zz_beside.pth").write_text(f"{ours}\n")
        done.touch()
    return where


def measure(name: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """What the script `peer_<name>.py` answers to `request`, in the peer's own environment, on one thread.

    Raises:
        PeerError: it cannot be installed, or fails; the message ends with what it said.
    """
    where = install(name)
    python = Path(sys.executable) if name == "byzfl" else where / "bin" / "python"
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    ran = subprocess.run(
        [python, Path(__file__).parent / f"peer_{name}.py", json.dumps(request)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | one | {"FOLKMOOT_PEER": str(where), "PYTHONWARNINGS": "ignore"},
    )
    if ran.returncode:
        raise errors.PeerError(f"{name} failed: {ran.stderr.strip()[-400:]}")
    answer: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return answer


def answered(script: Path, *beside: str) -> dict[str, Any]:
    """What a script of ours answers, with these peers in front of our own packages.

    Raises:
        PeerError: one cannot be installed, or the script fails; the message ends with what it said.
    """
    folders = [*(str(install(name)) for name in beside), str(ROOT)]
    found = {"PYTHONPATH": os.pathsep.join(folders), "PYTHONWARNINGS": "ignore"}
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, env=os.environ | found)
    if ran.returncode:
        raise errors.PeerError(f"{script.name} with {', '.join(beside)} failed: {ran.stderr.strip()[-400:]}")
    answer: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return answer


def timed(script: Path, request: Mapping[str, Any], *, peer: str = "") -> dict[str, Any]:
    """What a script answers to `request` in a process of its own: in a peer's environment, or in ours.

    Raises:
        PeerError: it fails, or the peer cannot be installed; the message ends with what it said.
    """
    python = str(install(peer) / "bin" / "python") if peer else sys.executable
    found = {"PYTHONPATH": "" if peer else str(ROOT), "PYTHONWARNINGS": "ignore"}
    ran = subprocess.run(
        [python, script, json.dumps(request)], capture_output=True, text=True, check=False, env=os.environ | found
    )
    if ran.returncode:
        raise errors.PeerError(f"{script.name} for {peer or 'us'} failed: {ran.stderr.strip()[-400:]}")
    answer: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return answer


def _version(name: str) -> str:
    return BESIDE[name].rpartition("=")[2] if name in BESIDE else VERSIONS[name]


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise errors.PeerError(f"pip install {arguments[-1]} failed: {ran.stderr.strip()[-400:]}")


def _locked(where: Path, source: Path) -> Path:
    """What npm makes of a package.json and its lock: nothing that they do not name, and no script of a package is run."""
    files = sorted(source.iterdir())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    if not (where / f".{digest}").exists():
        where.mkdir(parents=True, exist_ok=True)
        for path in files:
            shutil.copyfile(path, where / path.name)
    return _npm(where, digest, "ci", "--ignore-scripts", "--omit=optional")


def _npm(where: Path, version: str, *arguments: str) -> Path:
    done = where / f".{version}"
    if not done.exists():
        where.mkdir(parents=True, exist_ok=True)
        command = ["npm", *arguments, "--no-audit", "--no-fund"]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=where)
        except FileNotFoundError as error:
            raise errors.PeerError(f"{where.name} needs npm, which is not installed") from error
        if ran.returncode:
            raise errors.PeerError(f"npm {arguments[0]} in {where} failed: {ran.stderr.strip()[-400:]}")
        done.touch()
    return where


def main() -> None:
    """Set up the peers named on the command line."""
    for name in sys.argv[1:]:
        print(install(name))  # noqa: T201  its output


if __name__ == "__main__":
    main()
