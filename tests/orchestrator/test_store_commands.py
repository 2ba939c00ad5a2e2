"""`folkmoot store ...` as a person types it."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent import futures
from pathlib import Path

import pytest
from click import testing

from exchange import blocks, unixfs
from orchestrator import cli
from tests import gateways
from tests.exchange import stores

LARGE = bytes(range(251)) * 12_000
NAME = str(unixfs.of(LARGE))
MIB = 1 << 20


def folkmoot(*words: object, code: int = 0) -> testing.Result:
    result = testing.CliRunner().invoke(cli.cli, ["store", *map(str, words)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a file in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "large").write_bytes(LARGE)
    return tmp_path


def test_in_and_out(place: Path) -> None:
    """What is added is listed, pinned and verified, and comes back the same, as a person and as a program sees it."""
    (place / "empty").touch()
    lines = folkmoot("add", "large", "empty", "--store", "s", "--json").stdout.splitlines()
    first = json.loads(lines[0])
    assert first == {"cid": NAME, "size": len(LARGE), "file": "large", "pinned": True}
    listed = {json.loads(line)["cid"]: json.loads(line) for line in folkmoot("ls", "s", "--json").stdout.splitlines()}
    assert listed[NAME] == {"cid": NAME, "size": len(LARGE), "pinned": True, "block": False}
    assert len(listed) == 2
    assert folkmoot("get", NAME, "--store", "s").stdout == f"{NAME}: {len(LARGE):,} bytes\n"
    assert (place / NAME).read_bytes() == LARGE
    assert folkmoot("get", NAME, "--store", "s", "-o", "-").stdout_bytes == LARGE
    assert "none damaged" in folkmoot("verify", "s").stdout


def test_what_exists_is_not_overwritten(place: Path) -> None:
    """`get` refuses a file that is there, a broken link too, and leaves nothing beside it."""
    folkmoot("add", "large", "--store", "s")
    (place / "kept").write_bytes(b"kept")
    (place / "link").symlink_to(place / "nowhere")
    for name in ("kept", "link"):
        assert "not overwritten" in folkmoot("get", NAME, "--store", "s", "-o", name, code=2).stderr
    assert (place / "kept").read_bytes() == b"kept"
    assert not (place / "nowhere").exists()
    assert not list(place.glob(".*.part"))


def test_what_is_not_pinned_goes(place: Path) -> None:
    """`gc` takes what is neither pinned nor young, and refuses where it would take all."""
    (place / "other").write_bytes(b"other")
    other = str(unixfs.of(b"other"))
    folkmoot("add", "large", "--store", "s")
    folkmoot("add", "other", "--store", "s", "--no-pin")
    assert json.loads(folkmoot("gc", "s", "--json").stdout)["removed"] == 0
    assert json.loads(folkmoot("gc", "s", "--grace", "0", "--json").stdout) == {"removed": 1, "size": 5, "kept": 4}
    folkmoot("get", other, "--store", "s", code=1)
    folkmoot("unpin", NAME, "--store", "s")
    assert "nothing is pinned" in folkmoot("gc", "s", "--grace", "0", code=2).stderr
    folkmoot("pin", NAME, "--store", "s")
    folkmoot("unpin", NAME, "--store", "s")
    assert "4 blocks" in folkmoot("gc", "s", "--grace", "0", "--everything").stdout


def test_damage_is_named(place: Path) -> None:
    """`verify` exits 1 and names each block that is damaged or missing; `get` writes nothing."""
    folkmoot("add", "large", "--store", "s")
    damaged, lost = (unixfs.of(LARGE[start : start + MIB]) for start in (0, MIB))
    stores.damage(place / "s", damaged, b"damaged")
    stores.path(place / "s", lost).unlink()
    said = folkmoot("verify", "s", "--json", code=1).stdout.splitlines()
    assert {json.loads(line)["cid"] for line in said[:-1]} == {str(damaged), str(lost)}
    assert json.loads(said[-1])["ok"] is False
    folkmoot("get", NAME, "--store", "s", "-o", "out", code=1)
    assert {path.name for path in place.iterdir()} == {"large", "s"}


@pytest.mark.parametrize("kept", [False, True])
def test_from_gateways(place: Path, kept: bool) -> None:
    """30, 31: from the first gateway that has it, past one that is gone and one that lies; kept if a store is named."""
    blocks.BlockStore(place / "far").put(LARGE)
    own = ["--store", "s"] if kept else []
    lie = gateways.answer(b"other bytes")
    with gateways.served(place / "far") as url, gateways.scripted(lambda sock, _head: sock.sendall(lie)) as lying:
        sources = [word for each in ("http://127.0.0.1:9", lying, url) for word in ("--from", each)]
        folkmoot("get", NAME, *own, *sources, "-o", "out")
        failed = folkmoot("get", NAME, *own, "--from", lying, "-o", "out2", code=0 if kept else 1)
        assert kept or lying in failed.stderr
    assert (place / "out").read_bytes() == LARGE
    assert (place / "s").exists() is kept


def test_what_one_gateway_began_another_ends(place: Path) -> None:
    """34: where the first breaks off the next goes on, also on standard output, which gets each byte once."""
    for folder in ("first", "second"):
        blocks.BlockStore(place / folder).put(LARGE)
    stores.path(place / "first", unixfs.of(LARGE[2 * MIB :])).unlink()
    with gateways.served(place / "first") as first, gateways.served(place / "second") as second:
        assert folkmoot("get", NAME, "--from", first, "--from", second, "-o", "-").stdout_bytes == LARGE


@pytest.mark.parametrize(
    "words",
    [
        ["get", "../../etc/passwd", "--store", "s"],
        ["get", NAME, "--store", "nowhere"],
        ["ls", "nowhere"],
        ["get", NAME, "--from", "ftp://h"],
        ["get", NAME],
        ["pin", unixfs.of(b"absent"), "--store", "s"],
        ["serve", "s", "--listen", "here"],
    ],
)
def test_mistakes(place: Path, words: list[str]) -> None:
    """33: a sentence on standard error, no trace, nothing made."""
    folkmoot("add", "large", "--store", "s")
    result = testing.CliRunner().invoke(cli.cli, ["store", *map(str, words)])
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output
    assert {path.name for path in place.iterdir()} == {"large", "s"}


def started(*words: str, place: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "orchestrator", "store", *words]
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    return subprocess.Popen(command, cwd=place, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_serve_and_stop(place: Path) -> None:
    """`serve` says where it is, gives a file to another process, and ends at Ctrl-C."""
    folkmoot("add", "large", "--store", "s")
    server = started("serve", "s", "--listen", "127.0.0.1:0", place=place)
    assert server.stdout is not None
    where = server.stdout.readline().split(" at ")[1].split("/ipfs/")[0]
    folkmoot("get", NAME, "--from", where, "-o", "out")
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=20)
    assert server.returncode in (0, 130)
    assert (place / "out").read_bytes() == LARGE


@pytest.mark.parametrize("what", ["get", "add"])
def test_ctrl_c_leaves_nothing_half_written(place: Path, what: str) -> None:
    """37: an interrupted `get` leaves no file, an interrupted `add` no root; both say that they were stopped."""
    pipe = place / "pipe"
    os.mkfifo(pipe)
    with gateways.scripted(lambda sock, _head: sock.recv(1)) as url:
        words = ["get", NAME, "--from", url, "-o", "out"] if what == "get" else ["add", "pipe", "--store", "s"]
        running = started(*words, place=place)
        if what == "add":
            with pipe.open("wb") as feeding:
                feeding.write(LARGE[: MIB + 5])
                feeding.flush()
                time.sleep(1.0)
                running.send_signal(signal.SIGINT)
                _, told = running.communicate(timeout=20)
        else:
            deadline = time.monotonic() + 20
            while not list(place.glob(".*.part")) and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.5)
            running.send_signal(signal.SIGINT)
            _, told = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "Traceback" not in told
    assert "stopped" in told
    assert {path.name for path in place.iterdir()} <= {"large", "pipe", "s"}
    assert not blocks.BlockStore(place / "s").has(unixfs.of(LARGE[: MIB + 5]))


def test_a_pipe_is_added_with_its_size(place: Path) -> None:
    """What is printed is what was stored, not what the system says of a pipe."""
    os.mkfifo(place / "pipe")
    with futures.ThreadPoolExecutor(1) as thread:
        fed = thread.submit((place / "pipe").write_bytes, LARGE)
        said = json.loads(folkmoot("add", "pipe", "--store", "s", "--json").stdout)
        assert fed.result(10) == len(LARGE)
    assert (said["cid"], said["size"]) == (NAME, len(LARGE))


def test_what_is_left_of_a_file_is_listed_as_blocks(place: Path) -> None:
    """37: full leaves without a root are marked, for people and programs."""
    folkmoot("add", "large", "--store", "s", "--no-pin")
    stores.path(place / "s", unixfs.of(LARGE)).unlink()
    lines = folkmoot("ls", "s").stdout.splitlines()
    assert sorted(line.endswith(" block") for line in lines) == [False, True, True]
    assert sum(json.loads(line)["block"] for line in folkmoot("ls", "s", "--json").stdout.splitlines()) == 2


def test_a_damaged_file_without_a_gateway(place: Path) -> None:
    """30: `get` says what is wrong, and speaks of nobody else."""
    folkmoot("add", "large", "--store", "s")
    stores.damage(place / "s", unixfs.of(LARGE[:MIB]), b"damaged")
    said = folkmoot("get", NAME, "--store", "s", "-o", "out", code=1).stderr
    assert "does not hash to its name" in said
    assert "elsewhere" not in said
    assert "peer" not in said


def test_a_file_that_was_got_has_the_usual_mode(place: Path) -> None:
    """As any program makes it, by the umask."""
    folkmoot("add", "large", "--store", "s")
    folkmoot("get", NAME, "--store", "s", "-o", "out")
    (place / "beside").touch()
    assert (place / "out").stat().st_mode == (place / "beside").stat().st_mode
