"""docs/credit.md: its tables, made of the benchmark's JSON.

python -m benchmarks.credit_page        writes between the marks `<!-- NAME -->` and `<!-- end -->`
"""

from collections.abc import Mapping
from pathlib import Path

from benchmarks import cheats, contribution, contribution_fedml, page, scoring
from client import plan

PAGE = page.ROOT / "docs" / "credit.md"
DEFAULT = "secant_shapley"


def made(text: str) -> str:
    """The page with every table made anew.

    Raises:
        ResultError: the result is missing; the message says which command makes it.
    """
    return page.MARK.sub(lambda match: f"{match[1]}\n{TABLES[match['name']]()}\n{match[3]}", text)


def _metrics() -> Mapping[str, Mapping[str, float]]:
    found: Mapping[str, Mapping[str, float]] = page.result("credit")["metrics"]
    return found


def _said(name: str, form: str = ".2f") -> str:
    metric = _metrics().get(name)
    return "" if metric is None else format(metric["mean"], form)


def _methods() -> str:
    """Correlation and cost, a row for each task and method."""
    rows = [
        [
            task,
            f"`{method}`",
            *(_said(f"{task}/{method}/{what}") for what in ("rho", "rho_round")),
            _said(f"{task}/{method}/evaluations", ".0f"),
            _said(f"{task}/{method}/cpu_seconds", ".3f"),
            _said(f"{task}/{method}/rare"),
        ]
        for task in page.result("credit")["config"]["tasks"]
        for method in plan.METHODS
    ]
    return page.table(["task", "method", "rho, run", "rho, round", "evaluations", "CPU s", "rare class"], rows)


def _cheats() -> str:
    """Pay to each cheater by the default and by `gram`, screened and bare, as percent of an honest holder's, by task."""
    tasks = page.result("credit")["config"]["tasks"]
    header = ["cheat", *(f"{task}{more}" for task in tasks for more in ("", ", bare", ", `gram` bare"))]
    rows = []
    for cheat in cheats.CHEATS:
        cells = [
            _percent(f"{task}/{name}")
            for task in tasks
            for name in (f"{DEFAULT}/{cheat}", f"{DEFAULT}/{cheat}.bare", f"gram/{cheat}.bare")
        ]
        rows.append([f"`{cheat}`", *cells])
    return page.table(header, rows)


def _percent(name: str) -> str:
    metric = _metrics().get(name)
    return "" if metric is None else f"{100 * metric['mean']:.1f}"


def _screen() -> str:
    """Honest updates that the screen took for something else, in percent, and its cost."""
    tasks = page.result("credit")["config"]["tasks"]
    rows = [
        [
            task,
            _percent(f"{task}/screen/echo"),
            _percent(f"{task}/screen/twin"),
            _said(f"{task}/screen/cpu_seconds", ".4f"),
        ]
        for task in tasks
    ]
    return page.table(["task", "echo, %", "another's key, %", "CPU s a round"], rows)


def _scoring() -> str:
    """What 0 to 4 lying scorers of ten move, a row for each task and lie."""
    found = page.result("scoring")
    liars = range((found["config"]["holders"] + 1) // 2)
    shown = ("moved", "bound", "friend", "rival", "plain_friend", "plain_rival")

    def said(name: str) -> list[str]:
        values = [[found["metrics"][f"{name}.{f}/{what}"]["mean"] for f in liars] for what in shown]
        return [" ".join(f"{value:.2f}" for value in row) for row in values]

    rows = [[task, f"`{lie}`", *said(f"{task}/{lie}")] for task in found["config"]["tasks"] for lie in scoring.LIES]
    header = ["task", "lie", "moved", "bound", "friend", "rival", "friend, averaged", "rival, averaged"]
    return page.table(header, rows)


def _fedml() -> str:
    """Correlation and cost of FedML's classes, where they were measured; else why they were not."""
    found = page.result("credit")
    rows = []
    for task in contribution.TASKS:
        for method in contribution_fedml.METHODS:
            ranked = [_said(f"{task}/{method}/{what}") or "all the same" for what in ("rho", "rho_round")]
            cost = [_said(f"{task}/{method}/evaluations", ".0f"), _said(f"{task}/{method}/cpu_seconds", ".3f")]
            seeds = _metrics().get(f"{task}/{method}/evaluations", {}).get("n", "")
            rows += [[task, f"`{method}`", *ranked, *cost, str(seeds)]] if cost[0] else []
    notes = [f"- `{name}`: {said}\n" for name, said in sorted(found.get("notes", {}).items())]
    header = ["task", "method", "rho, run", "rho, round", "evaluations", "CPU s", "seeds"]
    return (page.table(header, rows) + "\n" if rows else "") + "".join(notes)


TABLES = {"methods": _methods, "cheats": _cheats, "screen": _screen, "fedml": _fedml, "scoring": _scoring}

if __name__ == "__main__":
    Path(PAGE).write_text(made(PAGE.read_text()))
