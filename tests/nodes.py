"""IPFS nodes of the tests' own: js-ipfs on loopback, in temporary folders, stopped with the tests.

FOLKMOOT_IPFS_API names another node, by URL or multiaddr; the tests that need but one then run against that one too.
"""

import base64
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import httpx
import pytest

from benchmarks import peers
from exchange import address
from exchange import cid as cids

ELSEWHERE = "FOLKMOOT_IPFS_API"


def modules() -> Path:
    """The folder in which npm put the node; where it did not, the test is skipped, unless FOLKMOOT_REQUIRE_SERVERS=1."""
    folder = peers.FOLDER / "ipfs"
    if shutil.which("node") is None or not (folder / "node_modules" / "ipfs-core").is_dir():
        if os.environ.get("FOLKMOOT_REQUIRE_SERVERS") == "1":
            pytest.fail("FOLKMOOT_REQUIRE_SERVERS=1, and there is no js-ipfs: apt-get install npm, then make peers")
        pytest.skip("there is no js-ipfs: apt-get install npm, then make peers")
    return folder


class Node:
    """A node that can be killed and started again at the same address.

    Attributes:
        api: the URL of its RPC.
    """

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="ipfs-"))
        self.api = ""
        self._folder = modules()
        self._process: subprocess.Popen[bytes] | None = None
        self._neighbours: list[Node] = []
        self._harmed: dict[Path, bytes] = {}
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers; it finds its neighbours again."""
        port = self.api.rpartition(":")[2] or "0"
        repo, said = self.root / "repo", self.root / "log"
        (repo / "api").unlink(missing_ok=True)
        with said.open("ab") as log:
            # It ends with its standard input, so with us however we end.
            self._process = subprocess.Popen(
                ["node", "node.mjs", repo, port], cwd=self._folder, stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        end = time.monotonic() + 60
        while not self._answers(repo / "api"):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the node does not start: {said.read_text()[-800:]}")
            time.sleep(0.05)
        for other in self._neighbours:
            self._dial(other)

    def connect(self, other: "Node") -> None:
        """Make it and another node neighbours."""
        self._neighbours.append(other)
        other._neighbours.append(self)
        self._dial(other)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()

    def stop(self) -> None:
        """Stop it, and remove its folder."""
        if self._process.poll() is None:
            self._process.stdin.close()
            self._process.wait(30)
        shutil.rmtree(self.root)

    def damage(self, name: cids.Cid, block: bytes) -> None:
        """Put other bytes where the node keeps a block, until `heal`."""
        self._harmed.setdefault(self._file(name), self._file(name).read_bytes())
        self._file(name).write_bytes(block)

    def lose(self, name: cids.Cid) -> None:
        """Take a block away from the node, until `heal`."""
        self._harmed.setdefault(self._file(name), self._file(name).read_bytes())
        self._file(name).unlink()

    def heal(self) -> None:
        """Undo that: a node keeps what it has, also when the right bytes are put again."""
        for path, block in self._harmed.items():
            path.write_bytes(block)
        self._harmed.clear()

    def _file(self, name: cids.Cid) -> Path:
        key = base64.b32encode(bytes(name)[2:]).decode().rstrip("=")  # the multihash, in flatfs with next-to-last/2
        return self.root / "repo" / "blocks" / key[-3:-1] / f"{key}.data"

    def ask(self, path: str, **parameters: str) -> dict[str, object]:
        """What the RPC answers, not through our own client."""
        answer = httpx.post(f"{self.api}/api/v0/{path}", params=parameters, timeout=60, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def _answers(self, written: Path) -> bool:
        if not written.exists() or not (address := written.read_text()):
            return False
        _, _, host, _, port, *_ = address.split("/")
        self.api = f"http://{host}:{port}"
        try:
            self.ask("id")
        except httpx.HTTPError:
            return False
        return True

    def _dial(self, other: "Node") -> None:
        if other._process.poll() is None:
            self.ask("swarm/connect", arg=other.ask("id")["Addresses"][0])


def elsewhere() -> list[str]:
    """The node that is not of the tests' own, if one is named."""
    named = os.environ.get(ELSEWHERE)
    return [] if named is None else [named if named.startswith("http") else _url(address.multiaddr(named))]


def _url(multiaddr: str) -> str:
    _, _, host, _, port, *scheme = multiaddr.split("/")
    return f"{(scheme or ['http'])[0]}://{host}:{port}"
