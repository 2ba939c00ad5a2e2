"""Peers, each in a folder of its own under `.peers/`, set up when a benchmark or an oracle test first asks for it.

    .peers/byzfl    the package alone, beside our torch: its declared dependencies would replace torch by a CUDA build
    .peers/flwr     a virtual environment: flwr pins packages that we pin otherwise

A peer runs in a process of its own, from a script beside this file that imports nothing of ours, and prints JSON.
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import errors

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".peers"
VERSIONS: Mapping[str, str] = {"byzfl": "0.0.11", "flwr": "1.41.0"}


def install(name: str) -> Path:
    """The folder of a peer, set up if it is not yet.

    Raises:
        PeerError: it cannot be installed; the message ends with what pip said.
    """
    where = FOLDER / name
    done = where / f".{VERSIONS[name]}"
    if not done.exists():
        wanted = f"{name}=={VERSIONS[name]}"
        if name == "byzfl":
            _pip(Path(sys.executable), "--no-deps", "--upgrade", "--target", str(where), wanted)
        else:
            venv.create(where, with_pip=True, clear=True)
            _pip(where / "bin" / "python", wanted)
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


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise errors.PeerError(f"pip install {arguments[-1]} failed: {ran.stderr.strip()[-400:]}")


def main() -> None:
    """Set up the peers named on the command line."""
    for name in sys.argv[1:]:
        print(install(name))  # noqa: T201  its output


if __name__ == "__main__":
    main()
