"""docs/aggregation.md is made of the committed results."""

import pytest

from benchmarks import errors, page


def test_the_tables_are_those_of_the_results() -> None:
    """`make tables` would change nothing."""
    text = page.PAGE.read_text()
    assert page.page(text) == text


def test_the_plots_are_those_of_the_results(tmp_path) -> None:
    """Both are there, and drawing them again gives as many."""
    drawn = page.draw(tmp_path)
    assert [path.name for path in drawn] == sorted(path.name for path in page.PLOTS.glob("*.svg"))[::-1]


def test_a_missing_result_says_which_command_makes_it(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    with pytest.raises(errors.ResultError, match=r"never\.json is missing: run folkmoot bench never"):
        page.result("never")
