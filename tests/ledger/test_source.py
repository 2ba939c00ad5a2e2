"""Published files, from a folder and over HTTP."""

import contextlib
import functools
import gzip
import http.server
import threading
import time

import pytest

from ledger import errors, publication, source, tiled
from tests.ledger import published


@contextlib.contextmanager
def serving(handler):
    """The URL of a server on the loopback interface."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Python's own file server."""

    def log_message(self, *_):
        pass


def answering(status=200, headers=(), body=b"", *, pause=0.0):
    """A server that answers everything so, in pieces if it has to pause between them."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                for at in range(0, len(body), 100 if pause else max(len(body), 1)):
                    self.wfile.write(body[at : at + 100] if pause else body)
                    self.wfile.flush()
                    time.sleep(pause)

        def log_message(self, *_):
            pass

    return serving(Handler)


def test_a_log_is_read_from_any_file_server(tmp_path):
    """Python's file server hands out the folder, and a reader proves the log from it."""
    with published.make(tmp_path / "log.db", (300,)) as record:
        publication.publish(record, tmp_path / "served")
        with serving(functools.partial(Quiet, directory=tmp_path / "served")) as url:
            for prefix in (url, f"{url}/"):
                published.agrees(tiled.TiledLog.open(source.url(prefix), published.VERIFY), record)


def test_a_missing_file_is_none(tmp_path):
    """Not an error: a partial tile may have gone."""
    assert source.folder(tmp_path)("tile/0/000", 10) is None
    for status in (404, 410):
        with answering(status) as url:
            assert source.url(url)("tile/0/000", 10) is None


def test_more_than_the_limit_is_refused(tmp_path):
    """A source cannot make its reader hold more than it asked for; the limit itself is allowed."""
    (tmp_path / "file").write_bytes(bytes(10))
    with answering(body=bytes(10)) as url:
        for fetch in (source.folder(tmp_path), source.url(url)):
            assert fetch("file", 10) == bytes(10)
            with pytest.raises(errors.LogError, match="more than the 9 bytes"):
                fetch("file", 9)


def test_gzip_is_unpacked_within_the_limit():
    """A log may serve gzip unasked; a megabyte of zeros in a kilobyte is refused at the limit."""
    headers = [("Content-Encoding", "gzip")]
    with answering(headers=headers, body=gzip.compress(bytes(10))) as url:
        assert source.url(url)("file", 10) == bytes(10)
    bomb = answering(headers=headers, body=gzip.compress(bytes(1_000_000)))
    with bomb as url, pytest.raises(errors.LogError, match="more than the 1000 bytes"):
        source.url(url)("file", 1_000)
    for body in (gzip.compress(bytes(10))[:-4], b"no gzip"):
        with answering(headers=headers, body=body) as url, pytest.raises(errors.LogError):
            source.url(url)("file", 1_000)


@pytest.mark.parametrize("status", [400, 403, 500, 503])
def test_a_refusal_is_no_missing_file(status):
    """A server in trouble must not make a log look shorter."""
    with answering(status) as url, pytest.raises(errors.LogError, match=str(status)):
        source.url(url)("file", 10)


def test_redirects_stay_on_their_scheme(tmp_path):
    """To the same scheme they are followed; to a file, or from http to another, they are refused."""
    (tmp_path / "file").write_bytes(b"found")
    with serving(functools.partial(Quiet, directory=tmp_path)) as target:
        with answering(302, [("Location", f"{target}/file")]) as url:
            assert source.url(url)("anything", 10) == b"found"
        for elsewhere in (f"file://{tmp_path}/file", "ftp://127.0.0.1/file", "https://127.0.0.1/file", "data:,found"):
            with answering(302, [("Location", elsewhere)]) as url, pytest.raises(errors.LogError, match=r"[Rr]edirect"):
                source.url(url)("anything", 10)


def test_a_slow_server_is_left():
    """Neither silence nor a trickle holds a reader longer than it will wait."""
    for pause in (0.05, 5.0):
        with answering(body=bytes(1_000), pause=pause) as url:
            began = time.monotonic()
            with pytest.raises(errors.LogError):
                source.url(url, seconds=0.3)("file", 10_000)
            assert time.monotonic() - began < 3


def test_other_schemes_are_refused(tmp_path):
    """A file is not read by way of a URL."""
    for prefix in (f"file://{tmp_path}", "ftp://127.0.0.1", "127.0.0.1:80", ""):
        with pytest.raises(errors.LogError, match="expected https"):
            source.url(prefix)


def test_nobody_there_is_a_log_error(tmp_path):
    """No server, or a folder in the place of a file."""
    with answering() as url:
        pass
    with pytest.raises(errors.LogError):
        source.url(url, seconds=2)("file", 10)
    (tmp_path / "file").mkdir()
    with pytest.raises(errors.LogError):
        source.folder(tmp_path)("file", 10)


def test_a_server_that_trickles_its_headers_is_left_in_time():
    """Each byte comes soon enough; all of them do not (attack 31)."""

    class Trickle(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                for _ in range(60):
                    self.wfile.write(b"a")
                    self.wfile.flush()
                    time.sleep(0.1)
                self.wfile.write(b"\r\nContent-Length: 2\r\n\r\nok")

        def log_message(self, *_):
            pass

    with serving(Trickle) as url:
        start = time.monotonic()
        with pytest.raises(errors.LogError, match=r"too long|cannot be fetched"):
            source.url(url, seconds=0.5)("checkpoint", 100)
        assert time.monotonic() - start < 4
