"""The log on a PostgreSQL server: what is refused there, and that killing the server loses, doubles and forks nothing."""

import subprocess
import sys
import threading
import time

import psycopg
import pytest

from ledger import dsse, errors, keys, log, postgres

ORIGIN = "folkmoot.test/log"

WRITE = """
import itertools, pathlib, sys
from ledger import dsse, errors, keys, log
place, folder, name = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
key = keys.SigningKey.load(folder / "key")
conflicts = 0
with log.Log.open(place, origin="folkmoot.test/log", published=folder / "checkpoint") as record:
    for n in itertools.takewhile(lambda _: not (folder / "stop").exists(), itertools.count()):
        parts = 20 if n % 2 else 1
        batch = [dsse.sign(f"{name} {n} {part}".encode(), key) for part in range(parts)]
        while True:
            try:
                seqs = record.append(batch, head=record.head)
                break
            except errors.ConflictError:
                conflicts += 1
        print(n, *seqs, flush=True)
        if name == "0" and n % 5 == 0:
            record.publish(key)
print("conflicts", conflicts)
"""


@pytest.fixture
def schema(server):
    """(URL, name) of an empty schema."""
    return server.url()


@pytest.fixture
def opened(schema, tmp_path):
    with log.Log.open(schema[0], origin=ORIGIN, published=tmp_path / "checkpoint") as record:
        yield record


def envelopes(*names):
    key = keys.SigningKey.generate()
    return [dsse.sign(name.encode(), key) for name in names]


class Writers:
    """Four processes that append to one log until they are told to stop."""

    def __init__(self, place, folder):
        keys.SigningKey.generate().save(folder / "key")
        self.folder = folder
        self._processes = []
        for name in map(str, range(4)):
            with (folder / f"acks-{name}").open("wb") as acks:
                command = [sys.executable, "-c", WRITE, place, str(folder), name]
                self._processes.append(subprocess.Popen(command, stdout=acks))

    def acknowledged(self):
        """Writer -> batch -> positions."""
        lines = {name: (self.folder / f"acks-{name}").read_text().splitlines(keepends=True) for name in "0123"}
        words = {name: [line.split() for line in found if line.endswith("\n")] for name, found in lines.items()}
        return {
            name: {int(n): [int(seq) for seq in seqs] for n, *seqs in found if n != "conflicts"}
            for name, found in words.items()
        }

    def go_on(self, batches):
        """Wait until each has acknowledged so many more."""
        before = {name: len(acks) for name, acks in self.acknowledged().items()}
        while any(len(acks) < before[name] + batches for name, acks in self.acknowledged().items()):
            assert all(process.poll() is None for process in self._processes)
            time.sleep(0.02)

    def stop(self):
        """Batches that met a head which had moved, of all writers."""
        (self.folder / "stop").touch()
        assert [process.wait() for process in self._processes] == [0, 0, 0, 0]
        return sum(int((self.folder / f"acks-{name}").read_text().split()[-1]) for name in "0123")


def test_killing_the_server_loses_doubles_and_forks_nothing(server, schema, tmp_path, record_property):
    """Four writers, three kills of the server: they go on by themselves; what they were told is there, once (37, 38, 42)."""
    place, name = schema
    writers = Writers(place, tmp_path)
    writers.go_on(2)
    for _ in range(3):
        server.kill()
        time.sleep(0.1)
        server.start()
        writers.go_on(2)
    conflicts = writers.stop()
    with log.Log.open(place, origin=ORIGIN, published=tmp_path / "checkpoint") as record:
        payloads = [entry.envelope.payload.decode() for entry in record.entries()]
        record.publish(keys.SigningKey.load(tmp_path / "key"))
    acks = {
        f"{writer} {n} {part}": seq
        for writer, batches in writers.acknowledged().items()
        for n, seqs in batches.items()
        for part, seq in enumerate(seqs)
    }
    lost = [said for said, seq in acks.items() if payloads[seq : seq + 1] != [said]]
    doubled = len(payloads) - len(set(payloads))
    [(forks,)] = server.execute("SELECT count(*) - count(DISTINCT prev) FROM entry", schema=name)
    counts = f"{len(acks)} acknowledged of {len(payloads)}, {conflicts} conflicts, {len(lost)} lost"
    print(f"{counts}, {doubled} doubled, {forks} forks")
    record_property("counts", counts)
    assert (lost, doubled, forks) == ([], 0, 0)
    assert len(acks) == len(payloads)  # each batch was acknowledged in the end: none is left in doubt


def test_a_server_that_stays_away_is_a_log_error(server, schema):
    """Patience ends; the same open log works again once the server does (attack 38)."""
    store = postgres.PostgresStore(schema[0], origin=ORIGIN, read_only=False, patience=0.4)
    server.kill()
    start = time.monotonic()
    with pytest.raises(errors.LogError):
        store.size()
    assert 0.2 < time.monotonic() - start < 20
    server.start()
    assert store.size() == 0
    store.close()
    server.kill()
    with pytest.raises(errors.LogError):  # nobody is waited for who was never there
        postgres.PostgresStore(schema[0], origin=ORIGIN, read_only=False)
    server.start()


@pytest.mark.parametrize("value", ["off", "local"])
def test_a_session_that_does_not_wait_for_the_disk_is_refused(schema, value, tmp_path):
    """synchronous_commit below `on` loses acknowledged entries: refused for writers, no matter to readers."""
    place = schema[0] + f"%20-csynchronous_commit%3D{value}"
    with pytest.raises(errors.LogError, match=f"synchronous_commit={value}, expected on"):
        postgres.PostgresStore(place, origin=ORIGIN, read_only=False)
    postgres.PostgresStore(schema[0], origin=ORIGIN, read_only=False).close()
    postgres.PostgresStore(place, origin=ORIGIN, read_only=True).close()


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_does_not_wait_for_the_disk_is_refused(server, opened, schema, setting):
    """Also where the setting is changed under an open log: nothing is appended, and nothing opened."""
    [envelope] = envelopes("one")
    server.configure(setting, "off")
    try:
        with pytest.raises(errors.LogError, match=f"{setting}=off"):
            opened.append([envelope], head=opened.head)
        with pytest.raises(errors.LogError, match=f"{setting}=off"):
            postgres.PostgresStore(schema[0], origin=ORIGIN, read_only=False)
    finally:
        server.configure(setting, "on")
    assert opened.size == 0
    assert opened.append([envelope], head=opened.head) == [0]


def test_a_commit_that_did_not_wait_for_its_standby_is_not_acknowledged(server, opened, schema):
    """A cancelled wait commits on one disk with a warning: asked again, and answered once the standby has it."""
    [envelope] = envelopes("one")
    done = []
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    server.configure("synchronous_standby_names", "ghost")
    try:
        thread = threading.Thread(target=lambda: done.append(opened.append([envelope], head="0" * 64)))
        thread.start()
        while not (first := server.execute(waiting)):
            time.sleep(0.02)
        server.execute("SELECT pg_cancel_backend(%s)", *first[0])
        while server.execute(waiting) in ([], first):
            time.sleep(0.02)
        assert done == []
        assert server.execute("SELECT count(*) FROM entry", schema=schema[1]) == [(1,)]
    finally:
        server.configure("synchronous_standby_names", "")
    thread.join()
    assert done == [[0]]
    assert opened.size == 1


def test_a_standby_is_refused(server, opened, schema):
    """A standby may lack what was committed: neither written to nor read from."""
    with server.standby() as standby, pytest.raises(errors.LogError, match="standby"):
        postgres.PostgresStore(schema[0].replace(str(server.root), str(standby.root)), origin=ORIGIN, read_only=True)


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TRIGGER t BEFORE UPDATE ON entry FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE r AS ON INSERT TO entry DO INSTEAD NOTHING",
        "CREATE POLICY p ON entry USING (false)",
        "CREATE VIEW v AS SELECT 1",
        "ALTER TABLE entry DROP CONSTRAINT entry_prev_key",
        "ALTER TABLE entry ALTER COLUMN leaf SET DEFAULT 'x'",
        "DROP TABLE checkpoint",
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_foreign_schema_is_refused(server, opened, schema, script, read_only):
    """A stranger's database with triggers, rules, policies, views or other tables is not read (attack 41)."""
    server.execute(script, schema=schema[1])
    with pytest.raises(errors.CorruptError, match="schema"):
        postgres.PostgresStore(schema[0], origin=ORIGIN, read_only=read_only)


def test_one_schema_holds_one_log(opened, schema):
    """Another log is told to go elsewhere, also where neither has published yet."""
    for read_only in (False, True):
        with pytest.raises(errors.CorruptError, match="another log"):
            postgres.PostgresStore(schema[0], origin="folkmoot.test/other", read_only=read_only)


def test_a_schema_that_is_not_there_is_refused(schema):
    """The search path must name one."""
    with pytest.raises(errors.LogError, match="search_path"):
        postgres.PostgresStore(schema[0] + "none", origin=ORIGIN, read_only=False)


def test_the_published_file_must_be_named(schema):
    """A URL has no folder, and without its high-water mark a log is not opened."""
    with pytest.raises(errors.LogError, match="published"):
        log.Log.open(schema[0], origin=ORIGIN)


def test_the_database_itself_refuses_a_fork(server, opened, schema):
    """Two rows after one: impossible, whatever a client does (attack 43)."""
    opened.append(envelopes("one", "two"), head=opened.head)
    fork = "INSERT INTO entry SELECT seq + 1, prev, hash, sha256(eid), leaf FROM entry WHERE seq = 1"
    with pytest.raises(psycopg.errors.UniqueViolation, match="entry_prev_key"):
        server.execute(fork, schema=schema[1])


def test_a_giant_value_is_cut_by_the_server(server, opened, schema):
    """A row beyond any leaf of ours does not come into memory whole."""
    opened.append(envelopes("one"), head=opened.head)
    server.execute("ALTER TABLE entry DROP CONSTRAINT entry_leaf_check", schema=schema[1])
    server.execute("UPDATE entry SET leaf = convert_to(repeat('x', 100000000), 'UTF8')", schema=schema[1])
    assert len(opened._store.rows(0, 1)[0].leaf) == 65_536
    with pytest.raises(errors.CorruptError):
        list(opened.entries())


def test_without_psycopg_the_extra_is_named():
    """Whoever asks for a server without the extra is told what to install."""
    script = """
import sys
sys.modules["psycopg"] = None
from ledger import errors, log
try:
    log.Log.open("postgresql:///", origin="x", published="y")
except errors.LogError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "folkmoot[postgres]" in done.stdout
