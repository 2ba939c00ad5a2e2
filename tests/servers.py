"""A PostgreSQL server of the tests' own: in a temporary folder, on a Unix socket, stopped with them."""

import contextlib
import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

BINARIES = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]


@functools.cache
def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`, the newest version first; None where they are not installed."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    found = next((folder for folder in [*BINARIES, *packaged] if (folder / "initdb").exists()), None)
    return None if found is None else (found / "initdb").resolve().parent


class Postgres:
    """A server that can be killed and started again; each `url()` is an empty schema of its own."""

    def __init__(self, folder: Path, primary: "Postgres | None" = None) -> None:
        self.root = Path(
            tempfile.mkdtemp(prefix="pg-")
        )  # a socket's path may have 107 bytes, pytest's folders are longer
        self._binaries = folder
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root.
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self.root, self._user.pw_uid, self._user.pw_gid)
        data = self.root / "data"
        if primary is None:
            self._call("initdb", "-k", "-U", "folkmoot", "-A", "trust", "-E", "UTF8", "--no-locale", "-D", data)
        else:
            self._call("pg_basebackup", "-h", primary.root, "-U", "folkmoot", "-c", "fast", "-R", "-D", data)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [self._binaries / "postgres", "-D", self.root / "data", "-k", self.root, "-c", "listen_addresses="]
        while True:
            self._process = subprocess.Popen(command, start_new_session=True, **self._options())
            while self._process.poll() is None:
                try:
                    psycopg.connect(self._url("")).close()
                except psycopg.OperationalError:
                    time.sleep(0.05)
                else:
                    return
            time.sleep(0.05)  # processes of the server killed before still hold its memory

    def kill(self) -> None:
        """SIGKILL to the server and all its processes at once."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Stop it, and remove its folder."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # fast shutdown
            self._process.wait()
        shutil.rmtree(self.root)

    def execute(self, script: str, *values: object, schema: str = "public") -> list[tuple[object, ...]]:
        """The rows of a statement, run as the owner."""
        with psycopg.connect(self._url(schema), autocommit=True) as connection:
            cursor = connection.execute(script, values)
            return cursor.fetchall() if cursor.description else []

    def insert(self, script: str, rows: list[tuple[object, ...]], schema: str) -> None:
        """Run a statement once for each row."""
        with psycopg.connect(self._url(schema)) as connection:
            connection.cursor().executemany(script, rows)

    def configure(self, setting: str, value: str) -> None:
        """Change a setting, and wait until sessions have it."""
        self.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
        self.execute("SELECT pg_reload_conf()")
        while self.execute("SELECT current_setting(%s)", setting) != [(value,)]:
            time.sleep(0.01)
        time.sleep(0.1)

    @contextlib.contextmanager
    def standby(self) -> Iterator["Postgres"]:
        """A standby of this server."""
        made = Postgres(self._binaries, self)
        try:
            yield made
        finally:
            made.stop()

    def url(self) -> tuple[str, str]:
        """(URL, name) of a new and empty schema."""
        schema = f"s{next(self._numbers)}"
        self.execute(f"CREATE SCHEMA {schema}")
        return self._url(schema), schema

    def _url(self, schema: str) -> str:
        options = f"&options=-csearch_path%3D{schema}" if schema else ""
        return f"postgresql:///postgres?host={self.root}&user=folkmoot{options}"

    def _call(self, name: str, *words: object) -> None:
        subprocess.run(
            [self._binaries / name, *words], check=True, capture_output=True, cwd=self.root, **self._user_options()
        )

    def _options(self) -> dict[str, object]:
        return {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self.root, **self._user_options()}

    def _user_options(self) -> dict[str, object]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
