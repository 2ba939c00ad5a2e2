"""What is opened as a log, and what is not."""

import pytest

from ledger import errors, sqlite

pytestmark = pytest.mark.parametrize("fresh", ["sqlite"], indirect=True)


def test_what_is_no_database_is_refused(fresh):
    """A folder in the database's place cannot be opened, garbage is damage: told apart (attack 41)."""
    (fresh / "log.db").mkdir()
    with pytest.raises(errors.LogError) as caught:
        fresh.open()
    assert caught.type is errors.LogError
    (fresh / "log.db").rmdir()
    (fresh / "log.db").write_bytes(b"x" * 9_000)
    with pytest.raises(errors.CorruptError):
        fresh.open()


def test_one_writes_at_a_time(folder):
    """Whoever is in a transaction has the lock from its first line on, before it has read anything (attack 42)."""
    first, second = (sqlite.SqliteStore(folder / "log.db", read_only=False) for _ in range(2))
    second._connection.execute("PRAGMA busy_timeout=10")

    def within():
        with pytest.raises(errors.LogError, match="locked"):
            second.transact(lambda: None)

    first.transact(within)
    second.transact(lambda: None)
    first.close()
    second.close()


def test_a_commit_waits_for_the_disk(folder):
    """Write-ahead log with a sync for every commit: less would lose acknowledged entries with the power."""
    opened = sqlite.SqliteStore(folder / "log.db", read_only=False)
    assert opened._connection.execute("PRAGMA journal_mode").fetchone() == (b"wal",)
    assert opened._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    opened.close()


def test_a_schema_is_not_trusted(folder):
    """Nothing in a stranger's schema may call functions with side effects (attack 41)."""
    opened = sqlite.SqliteStore(folder / "log.db", read_only=True)
    assert opened._connection.execute("PRAGMA trusted_schema").fetchone() == (0,)
    opened.close()


def test_a_giant_value_is_not_read(folder):
    """A stranger's row beyond any leaf of ours does not come into memory."""
    folder.unpublish()
    folder.tamper("UPDATE entry SET leaf = zeroblob(2000000) WHERE seq = 4")
    with pytest.raises(errors.LogError, match="too big"):
        folder.read(read_only=True)


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TRIGGER t BEFORE INSERT ON entry BEGIN DELETE FROM entry; END",
        "CREATE VIEW v AS SELECT 1",
        "ALTER TABLE checkpoint RENAME TO other",
        "DROP TABLE checkpoint",
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_foreign_schema_is_refused(folder, script, read_only):
    """A stranger's database with triggers, views or other tables is not read (attack 41)."""
    folder.tamper(script)
    with pytest.raises(errors.CorruptError, match="schema"):
        folder.open(read_only=read_only)
