"""docs/aggregation.md, and a table of examples/flower, are made of the committed results."""

from pathlib import Path

import pytest

from benchmarks import errors, page, speed_page


@pytest.mark.parametrize("path", page.PAGES, ids=lambda path: path.name)
def test_the_tables_are_those_of_the_results(path: Path) -> None:
    """`make tables` would change nothing."""
    text = path.read_text()
    assert page.page(text) == text


def test_the_plots_are_those_of_the_results(tmp_path) -> None:
    """Both are there, and drawing them again gives as many; the others are those of `speed_page`."""
    drawn = {path.name for path in page.draw(tmp_path)}
    there = {path.name for path in page.PLOTS.glob("*.svg")}
    assert drawn == there - {f"{name}.svg" for name in speed_page.PLOTTED}


def test_a_missing_result_says_which_command_makes_it(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    with pytest.raises(errors.ResultError, match=r"never\.json is missing: run folkmoot bench never"):
        page.result("never")
