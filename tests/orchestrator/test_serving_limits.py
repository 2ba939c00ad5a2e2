"""The service among clients that do not behave: floods, slow ones, liars; and what its log shows of them."""

import contextlib
import datetime as dt
import ipaddress
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

from client import errors as client_errors
from client import remote
from exchange import errors as exchange_errors
from exchange import gateway
from orchestrator.serving import server
from tests import runs

PATIENCE = 1.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    return runs.Run(tmp_path_factory.mktemp("limits") / "run")


@pytest.fixture(scope="module")
def address(made: runs.Run) -> Iterator[tuple[str, int]]:
    with runs.serving(made.where.root, patience=PATIENCE, connections=80, each=40) as where:
        with runs.client(where) as asked:
            runs.wait(asked)
        yield where


HEAD = b"POST /statements HTTP/1.1\r\nHost: s\r\n"


def test_slow_heads_do_not_starve_others(address: tuple[str, int]) -> None:
    """One address that opens all the connections it can and trickles leaves others' answers as fast as ever (attack 35)."""
    stop = threading.Event()

    def trickle() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), runs.connected(address, b"GET / HT", "127.0.0.2") as sock:
                while not stop.wait(0.1):
                    sock.sendall(b"T")

    threads = [threading.Thread(target=trickle) for _ in range(100)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(PATIENCE / 2)
        with runs.client(address) as asked:
            took = []
            for _ in range(30):
                start = time.monotonic()
                assert asked.get("/").status_code == 200
                took.append(time.monotonic() - start)
                time.sleep(PATIENCE / 20)
        assert sorted(took)[15] < 0.25
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_connections_of_one_address(address: tuple[str, int]) -> None:
    """Beyond its number a connection is closed; another address is not concerned; later all is as before (attack 35)."""
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(runs.connected(address, b"", "127.0.0.3"))
        time.sleep(0.1)
        with runs.connected(address, b"GET / HTTP/1.1\r\nHost: s\r\n\r\n", "127.0.0.3") as sock:
            assert runs.heard(sock) == b""
        with runs.client(address) as asked:
            assert asked.get("/").status_code == 200
    time.sleep(0.1)
    with runs.connected(address, b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n", "127.0.0.3") as sock:
        assert runs.heard(sock).startswith(b"HTTP/1.1 200")


def test_a_body_that_is_announced_too_long(address: tuple[str, int]) -> None:
    """413 before a byte of it is read (attacks 32, 36)."""
    for length in (b"10737418240", b"61441"):
        with runs.connected(address, HEAD + b"Content-Length: " + length + b"\r\n\r\n") as sock:
            assert runs.heard(sock).startswith(b"HTTP/1.1 413")


def test_a_body_that_grows_too_long(address: tuple[str, int]) -> None:
    """413 however it was announced (attack 36)."""
    with runs.connected(address, HEAD + b"Transfer-Encoding: chunked\r\n\r\n") as sock:
        with contextlib.suppress(ConnectionError):
            for _ in range(10):
                sock.sendall(b"4000\r\n" + bytes(0x4000) + b"\r\n")
        assert runs.heard(sock).startswith(b"HTTP/1.1 413")


def test_a_body_shorter_than_announced(made: runs.Run, address: tuple[str, int]) -> None:
    """It is never taken for the whole: 408 in the end, or nobody is there to hear it (attack 36)."""
    data = made.rotate("carol").to_bytes()
    before = len(made.entries())
    with runs.connected(address, HEAD + b"Content-Length: %d\r\n\r\n" % (len(data) + 1) + data) as sock:
        assert runs.heard(sock).startswith(b"HTTP/1.1 408")
    with runs.connected(address, HEAD + b"Content-Length: %d\r\n\r\n" % (len(data) + 1) + data):
        pass
    assert len(made.entries()) == before


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"\xb2", b"5, 6", b"0x10"])
@pytest.mark.parametrize("head", [HEAD, b"PUT /ipfs/x HTTP/1.1\r\nHost: s\r\n"])
def test_a_length_that_is_no_number(address: tuple[str, int], head: bytes, length: bytes) -> None:
    """Refused, and nothing is raised (attack 36)."""
    with runs.connected(address, head + b"Content-Length: " + length + b"\r\n\r\n") as sock:
        assert sock.recv(100).startswith((b"HTTP/1.1 400", b"HTTP/1.1 413"))


def test_a_head_without_end(address: tuple[str, int]) -> None:
    """400, or the connection is closed, before it has cost memory (attack 35)."""
    with runs.connected(address, b"GET / HTTP/1.1\r\n") as sock:
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                sock.sendall(b"X-A: " + b"a" * 4096 + b"\r\n")
        assert runs.heard(sock).startswith(b"HTTP/1.1 400")


def test_many_at_once(made: runs.Run) -> None:
    """More requests than are answered at a time: each gets an answer or a 503, none is left without (attack 35)."""
    with runs.serving(made.where.root, requests=2) as where, runs.client(where) as asked:
        runs.wait(asked)
        found = []
        threads = [threading.Thread(target=lambda: found.append(asked.get("/tile/0/000.p/8"))) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {each.status_code for each in found} <= {200, 503}
    assert 200 in {each.status_code for each in found}


def test_bodies_that_do_not_come(made: runs.Run) -> None:
    """One address that begins statements and never ends them takes a quarter of what is answered, no more (attack 35)."""
    with (
        runs.serving(made.where.root, requests=16) as where,
        runs.client(where) as asked,
        contextlib.ExitStack() as stack,
    ):
        runs.wait(asked)
        for _ in range(40):
            stack.enter_context(runs.connected(where, HEAD + b"Content-Length: 1000\r\n\r\n{", "127.0.0.5"))
        time.sleep(0.3)
        assert {asked.get("/").status_code for _ in range(20)} == {200}
        for path, status in ((b"/", b"503"), (b"/healthz", b"200")):
            head = b"GET %s HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n" % path
            with runs.connected(where, head, "127.0.0.5") as sock:
                assert runs.heard(sock).split()[1] == status


def test_the_health_of_a_service_that_is_full(made: runs.Run) -> None:
    """Whoever watches the service hears that it lives, also where all that it answers at once is taken."""
    with runs.serving(made.where.root, requests=2, each=0) as where, runs.client(where) as asked:
        runs.wait(asked)
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(runs.connected(where, HEAD + b"Content-Length: 1000\r\n\r\n{"))
            time.sleep(0.2)
            assert asked.get("/").status_code == 503
            assert asked.get("/healthz").status_code == 200


def test_the_rate_of_an_address(made: runs.Run) -> None:
    """Some at once, then so many a second; another address has its own (attack 35)."""
    with runs.serving(made.where.root, burst=20, rate=1.0) as where:
        time.sleep(0.5)
        with runs.client(where) as asked:
            found = [asked.get("/healthz").status_code for _ in range(30)]
        assert found.count(429) >= 8
        with runs.connected(where, b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n", "127.0.0.4") as sock:
            assert runs.heard(sock).startswith(b"HTTP/1.1 200")


def certified(folder: Path) -> server.Line:
    """Files of a certificate for loopback, signed by its own key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    line = server.Line(certificate=folder / "cert.pem", key=folder / "key.pem")
    line.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    line.key.write_bytes(key.private_bytes(*form))
    return line


def test_tls_by_files(made: runs.Run, tmp_path: Path) -> None:
    """The same service over TLS; a handshake that does not come ends like a head that does not (attack 31)."""
    line = certified(tmp_path)
    with runs.serving(made.where.root, line=line, patience=PATIENCE) as where:
        trusted = ssl.create_default_context(cafile=line.certificate)
        with httpx.Client(base_url=f"https://127.0.0.1:{where[1]}", verify=trusted, trust_env=False) as asked:
            runs.wait(asked)
            assert asked.get("/").json()["run"] == made.run
            with asked.stream("GET", "/tail") as tail:
                assert next(tail.iter_lines()) == "id: 0"
        start = time.monotonic()
        with runs.connected(where, b"") as sock:
            runs.heard(sock)
        assert time.monotonic() - start < 5 * PATIENCE


def test_a_certificate_of_ones_own_is_trusted_by_who_names_it(
    made: runs.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holder, gateway and reader go by SSL_CERT_FILE; without it each of them refuses to speak (attack 31)."""
    line = certified(tmp_path)
    with runs.serving(made.where.root, line=line) as where:
        url = f"https://127.0.0.1:{where[1]}"
        known = ssl.create_default_context(cafile=line.certificate)
        with httpx.Client(base_url=url, verify=known, trust_env=False) as asked:
            runs.wait(asked)
        for trusted in (False, True):
            if trusted:
                monkeypatch.setenv("SSL_CERT_FILE", str(line.certificate))
            with contextlib.closing(remote.Service(url)) as service, gateway.Gateway(url) as held:
                expected = (
                    contextlib.nullcontext() if trusted else pytest.raises(client_errors.ServiceError, match="CERT")
                )
                with expected:
                    assert service.append(made.said(made.enrol("alice"), "alice")) == 1
                expected = (
                    contextlib.nullcontext() if trusted else pytest.raises(exchange_errors.PeerError, match="CERT")
                )
                with expected:
                    assert held.has(made.parent)


def test_a_proxy_that_is_named(made: runs.Run) -> None:
    """Its word about whom it speaks for counts, nobody else's does."""
    lines = {"proxy": "127.0.0.1"}
    with runs.serving(made.where.root, line=server.Line(**lines), burst=5, rate=0.001) as where:
        time.sleep(0.5)
        ask = b"GET /openapi.json HTTP/1.1\r\nHost: s\r\nX-Forwarded-For: %s\r\nConnection: close\r\n\r\n"
        for source, expected in (("127.0.0.1", {b"200"}), ("127.0.0.2", {b"200", b"429"})):
            found = set()
            for number in range(8):
                with runs.connected(where, ask % b"10.0.0.%d" % number, source) as sock:
                    found.add(runs.heard(sock).split()[1])
            assert found == expected


def command(root: Path, *words: str) -> subprocess.Popen[str]:
    words = ("-m", "orchestrator", "serve", str(root), "--port", "0", *words)
    return subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends(made: runs.Run, sign: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end it within seconds, also with open tails; its lines are one a request, escaped (attack 46)."""
    as_json = sign == signal.SIGINT
    running = command(made.where.root, *(["--json"] if as_json else []))
    first = running.stdout.readline()
    port = int(re.search(r"127\.0\.0\.1:(\d+)", first)[1])
    hostile = b"GET /%1b]0;owned%07%0aforged%e2%80%ae HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n"
    with runs.client(("", port)) as asked:
        runs.wait(asked)
        with runs.connected(("127.0.0.1", port), hostile) as sock:
            runs.heard(sock)
        with runs.Tail(("127.0.0.1", port)) as tail:
            tail.until(7)
            start = time.monotonic()
            running.send_signal(sign)
            _, err = running.communicate(timeout=20)
            assert time.monotonic() - start < 8
    assert running.returncode == (130 if sign == signal.SIGINT else -signal.SIGTERM)
    lines = [line for line in err.splitlines() if "owned" in line]
    assert len(lines) == 1
    assert "\x1b" not in err
    assert "\u202e" not in err
    if as_json:
        assert json.loads(lines[0])["status"] == 404
        assert json.loads(first)["folder"] == str(made.where.root)
    assert "stopped" in err or sign == signal.SIGTERM


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cert", "pyproject.toml"], "--cert and --key belong together"),
        (["--cert", "pyproject.toml", "--key", "pyproject.toml"], "folkmoot:"),
        (["--host", "192.0.2.1"], "folkmoot:"),
    ],
)
def test_the_command_refuses(made: runs.Run, words: list[str], said: str) -> None:
    """A mistake is one sentence, and an exit code that is not 0."""
    running = command(made.where.root, *words)
    _, err = running.communicate(timeout=30)
    assert running.returncode in (1, 2)
    assert said in err
    assert "Traceback" not in err


def test_the_ledger_verified_over_http(made: runs.Run, address: tuple[str, int], tmp_path: Path) -> None:
    """`folkmoot ledger verify URL` needs nothing but the address."""
    made.publish()
    url = f"http://127.0.0.1:{address[1]}"
    words = [sys.executable, "-m", "orchestrator", "ledger", "verify", url, "--json"]
    environment = os.environ | {"FOLKMOOT_STATE": str(tmp_path)}
    deadline = time.monotonic() + 10
    while True:
        found = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
        assert found.returncode == 0, found.stderr
        if json.loads(found.stdout)["entries"] == len(made.entries()):
            break
        assert time.monotonic() < deadline
    assert json.loads(found.stdout)["run"] == made.run
