"""Files that become durable together: each whole, and none before its time."""

import stat
from pathlib import Path

import pytest

from ledger import durable


def test_files_are_there_when_they_are_finished(tmp_path: Path) -> None:
    """Until then the old ones are; modes are as asked for, and nothing is left beside them."""
    (tmp_path / "a").write_bytes(b"old")
    together = durable.Together()
    together.finish()
    together.write(tmp_path / "a", b"new")
    together.write(tmp_path / "b", b"secret", mode=0o600)
    with (tmp_path / "log").open("ab") as file:
        file.write(b"line\n")
    together.appended(tmp_path / "log")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert not (tmp_path / "b").exists()
    together.finish()
    assert (tmp_path / "a").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "log"]
    (tmp_path / "a").write_bytes(b"later")
    together.finish()
    assert (tmp_path / "a").read_bytes() == b"later", "what is finished is not written again"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As an OSError that says which file."""
    with pytest.raises(FileNotFoundError):
        durable.Together().write(tmp_path / "none" / "a", b"")
    with pytest.raises(FileNotFoundError):
        durable.flush(tmp_path / "none")
