"""Where a log lies: an SQLite file, or a database on a PostgreSQL server; and the file of its last published checkpoint."""

from pathlib import Path

from ledger import errors, sqlite
from ledger import store as stores

_SERVERS = ("postgresql://", "postgres://")


def on_server(place: Path | str) -> bool:
    """Whether the place is the URL of a server's database, and not a file."""
    return isinstance(place, str) and place.startswith(_SERVERS)


def open(  # noqa: A001 - as the log that it is for
    place: Path | str, *, origin: str, published: Path | None, read_only: bool
) -> tuple[stores.Store, Path]:
    """The open store in `place`, and the file of the last published checkpoint.

    Args:
        place: An SQLite file, or a `postgresql://` URL.
        origin: The log's name; a database on a server belongs to one log.
        published: The file. By default `checkpoint` beside the SQLite file; a URL has no folder, so with one it must be
            given.
        read_only: Write nothing, create nothing.

    Raises:
        CorruptError: The store is damaged, or of another log.
        LogError: It cannot be opened.
    """
    if on_server(place):
        if published is None:
            raise errors.LogError("a log on a server needs `published`, the file of its last published checkpoint")
        return _server(str(place), origin, read_only=read_only), published
    path = Path(place)
    return sqlite.SqliteStore(path, read_only=read_only), published or path.with_name("checkpoint")


def store(place: Path | str) -> stores.Store:
    """The store in `place`, to be read whatever its checkpoints say; a server's is that of whichever log it holds.

    Raises:
        CorruptError: The store is damaged.
        LogError: It cannot be opened.
    """
    return (
        _server(str(place), None, read_only=True)
        if on_server(place)
        else sqlite.SqliteStore(Path(place), read_only=True)
    )


def _server(url: str, origin: str | None, *, read_only: bool) -> stores.Store:
    try:
        from ledger import postgres  # noqa: PLC0415 - an optional extra, asked for only where a log lies on a server
    except ModuleNotFoundError as error:
        message = "a log on PostgreSQL needs psycopg: install the extra, `pip install 'folkmoot[postgres]'`"
        raise errors.LogError(message) from error
    return postgres.PostgresStore(url, origin=origin, read_only=read_only)
