"""Every answer of the service that its description names, over real HTTP, and no other."""

import contextlib
import json
import os
import re
import shutil
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from exchange import blocks, cid, unixfs
from ledger import dsse, keys, publication, statements, tiles
from orchestrator.serving import answer, application, door
from tests import runs

DATA = os.urandom(5000)
DESCRIBED = json.loads(application.description())
ANSWERS = [
    (path, method, int(status))
    for path, operations in DESCRIBED["paths"].items()
    for method, operation in operations.items()
    if method != "parameters"
    for status in operation["responses"]
]
SMALL = b"a small file"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    run = runs.Run(tmp_path_factory.mktemp("served") / "run")
    run.store.put(SMALL)
    runs.expect(run.where.root, dave=keys.SigningKey.generate().public.fingerprint)
    damaged = run.store.put(b"damaged")
    path = run.where.root / "blocks" / str(damaged)[-3:-1] / str(damaged)
    path.write_bytes(b"DAMAGED")
    return run


@pytest.fixture(scope="module")
def address(made: runs.Run) -> Iterator[tuple[str, int]]:
    with runs.serving(made.where.root, patience=1.0, grace=1.0) as where:
        with runs.client(where) as asked:
            runs.wait(asked)
        yield where


@pytest.fixture
def asked(address: tuple[str, int]) -> Iterator[httpx.Client]:
    with runs.client(address) as opened:
        yield opened


@pytest.fixture(scope="module")
def unfounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The service of an empty folder."""
    with runs.serving(tmp_path_factory.mktemp("empty")) as where:
        yield where


def post(asked: httpx.Client, envelope: dsse.Envelope) -> httpx.Response:
    return asked.post("/statements", content=envelope.to_bytes(), headers={"content-type": "application/json"})


def put(asked: httpx.Client, offer: dsse.Envelope, data: bytes, name: cid.Cid | None = None) -> httpx.Response:
    return asked.put(f"/ipfs/{name or unixfs.of(data)}", content=data, headers=runs.header(offer))


def trickled(address: tuple[str, int], head: str) -> int:
    """The status of a request whose body does not come."""
    with runs.connected(address, f"{head} HTTP/1.1\r\nHost: s\r\nContent-Length: 100\r\n".encode()) as sock:
        sock.sendall(b"\r\nab")
        return int(runs.heard(sock).split()[1])


def slow_put(address: tuple[str, int], run: runs.Run) -> int:
    data = bytes(100)
    lines = runs.header(run.offer("alice", data))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    asked = f"PUT /ipfs/{unixfs.of(data)} HTTP/1.1\r\nHost: s\r\nContent-Length: 100\r\n{head}\r\nab"
    with runs.connected(address, asked.encode()) as sock:
        return int(runs.heard(sock).split()[1])


def own(run: runs.Run, folder: Path) -> runs.Run:
    """The same run in a folder of its own, for a service with other limits."""
    shutil.copytree(run.where.root, folder)
    with runs.client(("", 0)):
        copy = object.__new__(runs.Run)
    copy.__dict__.update(run.__dict__ | {"keys": dict(run.keys)})
    copy.where = type(run.where)(root=folder)
    copy.store = blocks.BlockStore(folder)
    return copy


Case = Callable[[httpx.Client, runs.Run], httpx.Response]


def gateway(method: str) -> dict[tuple[str, str, int], Case]:
    small, absent = f"/ipfs/{unixfs.of(SMALL)}", f"/ipfs/{unixfs.of(b'absent')}"

    def case(status: int, path: str, **headers: str) -> tuple[tuple[str, str, int], Case]:
        given = {"accept": "application/vnd.ipld.raw"} | {
            name.replace("_", "-"): each for name, each in headers.items()
        }
        return ("/ipfs/{cid}", method, status), lambda asked, _: asked.request(method, path, headers=given)

    return dict(
        [
            case(200, small),
            case(206, small, range="bytes=0-3"),
            case(304, small, if_none_match=f'"{unixfs.of(SMALL)}.raw"'),
            case(400, "/ipfs/nonsense"),
            case(404, absent),
            case(406, small, accept="text/html"),
            case(412, absent, cache_control="only-if-cached"),
            case(416, small, range="bytes=100-200"),
            case(500, f"/ipfs/{unixfs.of(b'damaged')}"),
        ]
    )


CASES: dict[tuple[str, str, int], Case] = {
    ("/", "get", 200): lambda asked, _: asked.get("/"),
    ("/checkpoint", "get", 200): lambda asked, _: asked.get("/checkpoint"),
    ("/tile/{tile}", "get", 200): lambda asked, _: asked.get("/tile/entries/000.p/8"),
    ("/tile/{tile}", "get", 404): lambda asked, _: asked.get("/tile/0/000"),
    ("/statements", "post", 200): lambda asked, run: post(asked, run.rotate("carol")),
    ("/statements", "post", 400): lambda asked, _: asked.post("/statements", content=b"{}"),
    ("/statements", "post", 401): lambda asked, run: post(
        asked, dsse.sign(run.rotation("carol")[0].payload, keys.SigningKey.generate())
    ),
    ("/statements", "post", 403): lambda asked, run: post(asked, run.signed(run.opening(2))),
    ("/statements", "post", 408): lambda asked, _: trickled(("127.0.0.1", asked.base_url.port), "POST /statements"),
    ("/statements", "post", 409): lambda asked, run: post(asked, run.offer("carol", DATA)),
    ("/statements", "post", 413): lambda asked, _: asked.post("/statements", content=bytes(61441)),
    ("/tail", "get", 200): lambda asked, _: _opened_tail(asked),
    ("/tail", "get", 400): lambda asked, _: asked.get("/tail?from=-1"),
    ("/ipfs/{cid}", "put", 200): lambda asked, run: put(asked, run.offer("alice", SMALL), SMALL),
    ("/ipfs/{cid}", "put", 201): lambda asked, run: put(asked, run.offer("alice", DATA), DATA),
    ("/ipfs/{cid}", "put", 400): lambda asked, run: put(
        asked, run.offer("alice", b"said"), b"sent", unixfs.of(b"said")
    ),
    ("/ipfs/{cid}", "put", 401): lambda asked, _: asked.put(f"/ipfs/{unixfs.of(DATA)}", content=DATA),
    ("/ipfs/{cid}", "put", 403): lambda asked, run: put(asked, run.offer("carol", b"new"), b"new"),
    ("/ipfs/{cid}", "put", 408): lambda asked, run: slow_put(("127.0.0.1", asked.base_url.port), run),
    ("/ipfs/{cid}", "put", 409): lambda asked, run: put(asked, run.offer("bob", b"new", round=2), b"new"),
    ("/ipfs/{cid}", "put", 413): lambda asked, run: put(
        asked, run.offer("alice", bytes(2**20)), bytes(2**20), unixfs.of(bytes(2**20))
    ),
    ("/healthz", "get", 200): lambda asked, _: asked.get("/healthz"),
    ("/metrics", "get", 200): lambda asked, _: asked.get("/metrics"),
    ("/openapi.json", "get", 200): lambda asked, _: asked.get("/openapi.json"),
    **gateway("get"),
    **gateway("head"),
}
LIMITED = (429, 503, 507)


def _opened_tail(asked: httpx.Client) -> httpx.Response:
    with asked.stream("GET", "/tail") as response:
        return response


def status_of(found: httpx.Response | int) -> int:
    return found if isinstance(found, int) else found.status_code


@pytest.mark.parametrize(("path", "method", "status"), [each for each in ANSWERS if each[2] not in LIMITED])
def test_each_answer_that_is_described(
    asked: httpx.Client, made: runs.Run, path: str, method: str, status: int
) -> None:
    """Every status of the description can be had, in the form that it says; an error is {code, message}."""
    found = CASES[path, method, status](asked, made)
    assert status_of(found) == status
    if isinstance(found, httpx.Response):
        described(found, path, method)


def described(found: httpx.Response, path: str, method: str) -> None:
    """The answer has the form that the description gives it."""
    content = DESCRIBED["paths"][path][method]["responses"][str(found.status_code)].get("content", {})
    if method == "head" or found.status_code == 304:
        return
    kind = found.headers["content-type"].partition(";")[0]
    assert kind in content
    reference = content[kind]["schema"].get("$ref", "").rpartition("/")[2]
    if reference:
        schema = DESCRIBED["components"]["schemas"][reference]
        assert sorted(found.json()) == sorted(schema["required"])
        for name, expected in schema["properties"].items():
            assert re.search(expected.get("pattern", ""), str(found.json()[name]))


@pytest.mark.parametrize(("path", "method"), sorted({each[:2] for each in ANSWERS}))
def test_each_address_has_its_limits(
    made: runs.Run, unfounded: tuple[str, int], tmp_path: Path, path: str, method: str
) -> None:
    """429 over the rate of an address, 503 where nothing can be answered yet or too much is: each says when to come again."""
    asked_for = path.replace("{tile}", "0/000").replace("{cid}", str(unixfs.of(SMALL)))
    with runs.serving(tmp_path, burst=1, rate=0.001) as where, runs.client(where) as few:
        assert few.get("/nothing").status_code == 404
        limited = few.request(method, asked_for)
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "1")
    described(limited, path, method) if "ipfs" not in path else None
    with contextlib.ExitStack() as stack:
        waits = unfounded
        if path in ("/ipfs/{cid}", "/metrics", "/openapi.json") and method != "put":
            waits = stack.enter_context(runs.serving(tmp_path, requests=0))
        with runs.client(waits) as early:
            busy = early.request(method, asked_for)
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")


def test_a_full_disk_is_told(made: runs.Run, tmp_path: Path) -> None:
    """507 where the store may hold no more, and nothing of the file is there."""
    run = own(made, tmp_path / "run")
    with runs.serving(run.where.root, quota=1000) as where, runs.client(where) as asked:
        runs.wait(asked)
        assert put(asked, run.offer("bob", b"more" * 500), b"more" * 500).status_code == 507
        assert not run.store.has(unixfs.of(b"more" * 500))


def test_the_description_names_every_address() -> None:
    """The routes of the application and the paths of the description are the same, methods too."""
    named = {
        (path.replace("{tile}", "{rest:path}").replace("{cid}", "{cid:str}"), method.upper())
        for path, method, _ in ANSWERS
    }
    served = application.Service(runs.folder.RunFolder(root=Path("nowhere")), runs.limits.Limits())
    routes = {(route.path, method) for route in served.routes for method in route.methods}
    assert {each for each in routes if each[1] != "HEAD" or "ipfs" in each[0]} == named
    assert {path.split("/")[1] for path, _, _ in ANSWERS} - {""} == set(door.PLACES)
    assert set(CASES) == {each for each in ANSWERS if each[2] not in LIMITED}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/tile/", 404),
        ("GET", "/tile/0/000.p/0", 404),
        ("GET", "/tile/0/000.p/256", 404),
        ("GET", "/tile/0/..%2f..%2fkeys%2fcoordinator", 404),
        ("GET", "/keys/coordinator", 404),
        ("GET", "/ipfs/../keys/coordinator", 404),
        ("DELETE", "/statements", 405),
        ("POST", "/ipfs/x", 405),
        ("PUT", "/checkpoint", 405),
    ],
)
def test_other_requests(asked: httpx.Client, method: str, path: str, status: int) -> None:
    """Other addresses and methods are refused in the same form, and nothing of the folder is to be had by its name."""
    found = asked.request(method, path)
    assert found.status_code == status
    assert sorted(found.json()) == ["code", "message"]


def test_the_index(asked: httpx.Client, made: runs.Run) -> None:
    """It says what the log proves: the run's eid, the log's name, the coordinator's key, the entries."""
    found = asked.get("/").json()
    assert found["run"] == made.run
    assert found["origin"] == runs.journal.origin(made.key.public.fingerprint)
    assert found["coordinator"] == str(made.key.public)
    assert found["size"] >= 8


def test_the_files_are_those_that_would_be_published(tmp_path: Path) -> None:
    """Every tile and bundle, full and partial, has the bytes that `folkmoot ledger publish` writes, and may be cached."""
    run = runs.Run(tmp_path / "run")
    run.append(*(run.rotate("carol") for _ in range(600)))
    run.publish()
    with run.opened() as opened:
        publication.publish(opened, tmp_path / "static")
    with runs.serving(run.where.root) as where, runs.client(where) as asked:
        runs.wait(asked)
        names = [path for path in (tmp_path / "static").rglob("*") if path.is_file()]
        assert len(names) == 1 + 3 + 3 + 1
        for path in names:
            found = asked.get(f"/{path.relative_to(tmp_path / 'static')}")
            assert (found.status_code, found.content) == (200, path.read_bytes())
            if path.name != "checkpoint":
                full = tiles.Tile.parse(str(path.relative_to(tmp_path / "static"))).width == tiles.WIDTH
                assert ("immutable" in found.headers["cache-control"]) == full


def test_entries_beyond_the_checkpoint_are_in_no_tile(tmp_path: Path) -> None:
    """The tiles end where the published checkpoint does, and go on when it does."""
    run = runs.Run(tmp_path / "run")
    run.append(run.rotate("carol"))
    with runs.serving(run.where.root) as where, runs.client(where) as asked:
        runs.wait(asked)
        assert asked.get("/tile/0/000.p/8").status_code == 200
        assert asked.get("/tile/0/000.p/9").status_code == 404
        run.publish()
        deadline = time.monotonic() + 5
        while asked.get("/tile/0/000.p/9").status_code != 200:
            assert time.monotonic() < deadline


def test_a_run_that_is_founded_while_it_is_served(tmp_path: Path) -> None:
    """503 until there is a genesis; then, without a restart, all of it."""
    (tmp_path / "run").mkdir()
    with runs.serving(tmp_path / "run") as where, runs.client(where) as asked:
        assert asked.get("/checkpoint").status_code == 503
        run = runs.Run(tmp_path / "run")
        runs.wait(asked)
        assert post(asked, run.rotate("carol")).json()["seq"] == 8


def test_messages_hold_no_control_characters(asked: httpx.Client, made: runs.Run) -> None:
    """What somebody sent comes back escaped, whatever the reason (attack 46)."""
    hostile = "\x1b]0;owned\x07\u202e\n"
    payload = statements.build(made.enrol("alice")).replace(b'"alice"', json.dumps(hostile).encode())
    found = [
        post(asked, dsse.sign(payload, made.keys["alice"])),
        asked.get("/tail", params={"from": hostile}),
        asked.get(f"/tile/{urllib.parse.quote(hostile)}"),
        asked.put(f"/ipfs/{urllib.parse.quote(hostile)}", content=b"x"),
    ]
    for each in found:
        assert each.status_code in (400, 404)
        assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in each.content)
        assert each.content.count(b"\n") == 1


def test_refusals_are_short() -> None:
    """However long what was wrong is, the message is not."""
    body = answer.Refusal(400, "malformed", "x" * 10_000).response().body
    assert len(body) < 600
