"""A Flower app is run only with the very source that was agreed on."""

import importlib.util
import multiprocessing
from pathlib import Path

import pytest

from client import apps, errors


def _written(folder: Path, text: str = "made = 41\n") -> str:
    (folder / "there.py").write_text(text)
    return f"{folder / 'there.py'}:made"


def test_an_app_of_other_source_is_not_run(tmp_path: Path) -> None:
    """Whoever changes a file beside the app, after consent, finds it refused; and nothing of it was run."""
    name = _written(tmp_path)
    agreed = apps.digest(apps.find(name))
    assert apps.load(name, agreed) == 41
    apps.load.cache_clear()
    (tmp_path / "beside.py").write_text("raise SystemExit\n")
    with pytest.raises(errors.AppError, match="nothing of it was run"):
        apps.load(name, agreed)


def test_a_file_with_the_name_of_our_own_module_is_the_file(tmp_path: Path) -> None:
    """Many Flower apps have a client.py; ours of that name is a package."""
    (tmp_path / "client.py").write_text("made = 'theirs'\n")
    name = f"{tmp_path / 'client.py'}:made"
    assert apps.load(name, apps.digest(apps.find(name))) == "theirs"
    with multiprocessing.get_context("spawn").Pool(1) as started:
        assert started.apply(importlib.util.find_spec, ["client.worker"]) is not None


@pytest.mark.parametrize("name", ["", "app.py", "nowhere.py:app", "no_such_module_here:app", "x:1"])
def test_a_name_that_leads_nowhere_says_what_was_expected(name: str) -> None:
    """One sentence, and no traceback."""
    with pytest.raises(errors.AppError, match="expected"):
        apps.find(name)
