"""Files that appear whole or not at all."""

import contextlib
import stat
from pathlib import Path

import pytest

from exchange import errors, staged


def test_it_appears_when_it_is_whole(tmp_path: Path) -> None:
    """Nothing has the name before the end; then the file is there, for its owner alone, and nothing else is left."""
    path = tmp_path / "plain"
    with staged.writing(path) as file:
        file.write(b"secret")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [errors.SealError, KeyboardInterrupt])
def test_what_fails_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    """However it fails, what had the name before still has it, and the beginning of the new file is gone."""
    path = tmp_path / "plain"
    path.write_bytes(b"old")
    with contextlib.suppress(error), staged.writing(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_system_is_typed(tmp_path: Path) -> None:
    """A folder that is not there, and a folder in the place of the file, are store errors; nothing is left."""
    with pytest.raises(errors.StoreError, match="cannot write"), staged.writing(tmp_path / "no" / "file"):
        pytest.fail("there is no such folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(errors.StoreError, match="cannot write"), staged.writing(tmp_path / "folder"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
