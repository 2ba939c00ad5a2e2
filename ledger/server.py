"""What a PostgreSQL server must be and hold to keep a log: settings that make commits last, and our tables alone.

The schema is SQLite's (`schema.sql`), with the log's name, and with the hash of the leaf before in each row: UNIQUE there
makes a fork of the chain impossible inside one database, whatever its clients do.
"""

from collections.abc import Collection, Sequence

from ledger import errors

ZEROS = bytes(32)
"""What stands for the hash of the leaf before the first one."""

CREATE = """
CREATE TABLE log (
  one boolean PRIMARY KEY CHECK (one),
  origin text NOT NULL
);
CREATE TABLE entry (
  seq bigint PRIMARY KEY CHECK (seq >= 0),
  prev bytea NOT NULL UNIQUE CHECK (length(prev) = 32),
  hash bytea NOT NULL CHECK (length(hash) = 32),
  eid bytea NOT NULL UNIQUE CHECK (length(eid) = 32),
  leaf bytea NOT NULL CHECK (length(leaf) <= 65535)
);
CREATE TABLE node (
  level integer CHECK (level > 0 AND level % 8 = 0),
  i bigint CHECK (i >= 0),
  hash bytea NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (level, i)
);
CREATE TABLE checkpoint (
  size bigint PRIMARY KEY CHECK (size >= 0),
  note bytea NOT NULL CHECK (length(note) <= 65536)
);
"""

DESCRIBE = """
WITH ours AS (SELECT oid, relname::text AS name, relkind::text AS kind FROM pg_catalog.pg_class
              WHERE relnamespace = current_schema()::regnamespace)
SELECT kind || ' ' || name FROM ours
UNION ALL
SELECT name || '.' || attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull || atthasdef
  FROM ours JOIN pg_catalog.pg_attribute ON attrelid = oid WHERE attnum > 0 AND kind <> 'i'
UNION ALL
SELECT name || ' ' || pg_get_constraintdef(c.oid)
  FROM ours JOIN pg_catalog.pg_constraint AS c ON conrelid = ours.oid WHERE contype <> 'n'
UNION ALL
SELECT 'trigger ' || tgname FROM ours JOIN pg_catalog.pg_trigger ON tgrelid = ours.oid
UNION ALL
SELECT 'rule ' || rulename FROM ours JOIN pg_catalog.pg_rewrite ON ev_class = ours.oid
UNION ALL
SELECT 'policy ' || polname FROM ours JOIN pg_catalog.pg_policy ON polrelid = ours.oid
"""
"""Every relation, column, constraint, trigger, rule and policy of the schema, one text each."""

EXPECTED = frozenset(
    {
        "r log",
        "i log_pkey",
        "log.one boolean truefalse",
        "log.origin text truefalse",
        "log PRIMARY KEY (one)",
        "log CHECK (one)",
        "r entry",
        "i entry_pkey",
        "i entry_prev_key",
        "i entry_eid_key",
        "entry.seq bigint truefalse",
        "entry.prev bytea truefalse",
        "entry.hash bytea truefalse",
        "entry.eid bytea truefalse",
        "entry.leaf bytea truefalse",
        "entry PRIMARY KEY (seq)",
        "entry UNIQUE (prev)",
        "entry UNIQUE (eid)",
        "entry CHECK ((seq >= 0))",
        "entry CHECK ((length(prev) = 32))",
        "entry CHECK ((length(hash) = 32))",
        "entry CHECK ((length(eid) = 32))",
        "entry CHECK ((length(leaf) <= 65535))",
        "r node",
        "i node_pkey",
        "node.level integer truefalse",
        "node.i bigint truefalse",
        "node.hash bytea truefalse",
        "node PRIMARY KEY (level, i)",
        "node CHECK (((level > 0) AND ((level % 8) = 0)))",
        "node CHECK ((i >= 0))",
        "node CHECK ((length(hash) = 32))",
        "r checkpoint",
        "i checkpoint_pkey",
        "checkpoint.size bigint truefalse",
        "checkpoint.note bytea truefalse",
        "checkpoint PRIMARY KEY (size)",
        "checkpoint CHECK ((size >= 0))",
        "checkpoint CHECK ((length(note) <= 65536))",
    }
)

LOCK = 0x666F6C6B6D6F6F74
"""Key of the advisory lock under which the tables are made: "folkmoot"."""

PARAMETERS = {"connect_timeout": "10", "keepalives_idle": "10", "tcp_user_timeout": "30000", "client_encoding": "utf8"}
"""A server that is cut off is noticed, and not waited for without end. What the URL says comes first."""

SESSION = "SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s'; SET statement_timeout = '600s'"
"""As long as SQLite's busy timeout; and a stopped process does not hold the lock for ever."""

_DURABLE = {"fsync": ("on",), "full_page_writes": ("on",), "synchronous_commit": ("on", "remote_apply")}

SETTINGS = ", ".join(f"current_setting('{name}')" for name in _DURABLE)
"""What to select, for `require_durable`."""


def require_durable(settings: Sequence[str]) -> None:
    """Nothing; a commit that returned outlasts a crash of this server, and of its synchronous standby if it has one.

    Raises:
        LogError: A setting says otherwise.
    """
    for (name, wanted), value in zip(_DURABLE.items(), settings, strict=True):
        if value not in wanted:
            message = f"the server has {name}={value}, expected {' or '.join(wanted)}"
            raise errors.LogError(f"{message}: it would lose acknowledged entries in a crash")


def require_ours(found: Collection[str]) -> None:
    """Nothing; the schema that `DESCRIBE` told of is a log's. A stranger's could change our rows with a trigger.

    Raises:
        LogError: It is empty.
        CorruptError: It holds other relations, columns, constraints, triggers, rules or policies.
    """
    if not found:
        raise errors.LogError("the database holds no log, and was opened read-only")
    if set(found) != EXPECTED:
        differs = sorted(EXPECTED ^ set(found))
        message = f"the database is not a log: its schema differs in {differs!r:.200}"
        raise errors.CorruptError(f"{message}; give the log a database, or a schema in search_path, of its own")


def require_named(origins: Sequence[str], origin: str | None) -> None:
    """Nothing; the database holds the log of this name, or one at all. Two in one would take each other's entries for damage.

    Raises:
        CorruptError: It holds another.
    """
    if len(origins) != 1 or origin not in (None, *origins):
        message = f"the database holds the log {list(origins)!r}, another log than {origin!r}"
        raise errors.CorruptError(f"{message}: a database, or a schema in search_path, holds one log")


def require_log(rows: Sequence[Sequence[str]], origin: str | None) -> None:
    """Nothing; the rows of `log`, each with `SETTINGS`, are the one of this name, on a server whose commits last.

    Raises:
        CorruptError: They name another log, or none.
        LogError: The settings would lose acknowledged entries.
    """
    require_named([name for name, *_ in rows], origin)
    require_durable(rows[0][1:])
