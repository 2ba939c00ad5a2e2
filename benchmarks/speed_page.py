"""docs/speed.md, its tables and plots: made of the JSON of `folkmoot bench training` and `folkmoot bench growth`.

python -m benchmarks.speed_page        writes between the marks `<!-- NAME -->` and `<!-- end -->`, and the plots beside
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import figure

from benchmarks import errors, page

PAGE = page.ROOT / "docs" / "speed.md"
SYSTEMS: Mapping[str, str] = {
    "loop": "plain loop",
    "alone": "training, one by one",
    "together": "training, side by side",
    "everything": "everything on",
    "ray": "everything on, two workers",
    "pfl": "pfl 0.6",
    "flower": "Flower's engine, two workers",
}
AXES: Mapping[str, str] = {
    "holders": "holders, a tenth of them a round",
    "parameters": "parameters, two holders a round",
}
COSTS: Mapping[str, tuple[str, str]] = {
    "cpu_seconds": ("CPU s a round", ".3g"),
    "wall_seconds": ("wall s a round", ".3g"),
    "start_cpu": ("CPU s to start", ".3g"),
    "start_seconds": ("wall s to start", ".3g"),
    "peak_mib": ("peak MiB", ",.0f"),
}


def made(text: str) -> str:
    """The page with every table made anew.

    Raises:
        ResultError: a result is missing; the message says which command makes it.
    """
    return page.MARK.sub(lambda match: f"{match[1]}\n{TABLES[match['name']]()}\n{match[3]}", text)


def draw(folder: Path) -> list[Path]:
    """The plots, as SVG files that are the same bytes for the same results."""
    mpl.rcParams["svg.hashsalt"] = "folkmoot"
    drawn = []
    for name, plot in PLOTTED.items():
        path = folder / f"{name}.svg"
        plot().savefig(path, metadata={"Date": None}, bbox_inches="tight")
        drawn.append(path)
    return drawn


def _metrics(suite: str) -> Mapping[str, Mapping[str, float]]:
    found: Mapping[str, Mapping[str, float]] = page.result(suite)["metrics"]
    return found


def _said(suite: str, name: str, form: str = ".3g") -> str:
    metric = _metrics(suite).get(name)
    return "" if metric is None else format(metric["median"], form)


def _rounds() -> str:
    """Seconds, memory and loss, a table for each workload."""
    parts = []
    header = ["system", "CPU s", "of the loop", "wall s", "of the loop", "s to start", "peak MiB", "loss"]
    columns = (
        ("cpu_seconds", ".4f"),
        ("cpu_seconds.ratio", ".2f"),
        ("wall_seconds", ".4f"),
        ("wall_seconds.ratio", ".2f"),
    )
    for workload in page.result("training")["config"]["workloads"]:
        name, early = workload["name"], bool(workload["early"])
        rows = []
        for system, label in SYSTEMS.items():
            if f"{name}.{system}.wall_seconds" in _metrics("training"):
                stem = f"{name}.{system}"
                cells = [_said("training", f"{stem}.{column}", form) for column, form in columns]
                cells += [
                    _said("training", f"{stem}.start_seconds", ".1f"),
                    _said("training", f"{stem}.peak_mib", ",.0f"),
                ]
                # Peers have fewer rounds: ours after as many stands beside theirs.
                loss = _said("training", f"{stem}.early_loss", ".5f") or _said("training", f"{stem}.loss", ".5f")
                rows.append([label, *cells, "" if early and system in {"everything", "ray"} else loss])
        parts.append(f"{name.upper()}:\n\n" + page.table(header, rows))
    return "\n".join(parts)


def _against() -> str:
    """How many times ours the peers' seconds are."""
    rows = []
    for peer in ("pfl", "flower"):
        for ours in ("alone", "together", "everything", "ray"):
            stems = [f"w2.{peer}.{unit}.over_{ours}" for unit in ("wall_seconds", "cpu_seconds")]
            if stems[0] in _metrics("training"):
                rows.append([f"{SYSTEMS[peer]} / {SYSTEMS[ours]}", *(_said("training", each, ".1f") for each in stems)])
    return page.table(["W2", "wall", "CPU"], rows) + "".join(
        f"\n{name} is left out: {reason}\n" for name, reason in page.result("training")["config"]["left_out"].items()
    )


def _phases() -> str:
    """Where the CPU seconds of a round with everything on go, in percent."""
    rows = []
    for workload in page.result("training")["config"]["workloads"]:
        stem = f"{workload['name']}.everything"
        whole = _metrics("training")[f"{stem}.cpu_seconds"]["median"]
        shares = {
            each: _metrics("training").get(f"{stem}.{each}.cpu_seconds", {"median": 0.0})["median"] / whole
            for each in PARTS
        }
        rows.append([workload["name"].upper(), *(f"{100 * share:.1f}" for share in shares.values())])
    return page.table(["%", *PARTS], rows)


PARTS = ("admit", "train", "encode", "seal", "ledger", "publish", "aggregate")


def _growth() -> str:
    """Costs by size, and the law of each, a table for each axis."""
    parts = []
    for axis, label in AXES.items():
        sizes: list[Any] = page.result("growth")["config"][axis]
        rows = [
            [f"{size:,}", *(_said("growth", f"{axis}.{size}.{c}", form) for c, (_, form) in COSTS.items())]
            for size in sizes
        ]
        laws = {"exponent": "exponent", "r2": "R²", "exponent_last": "exponent, last step"}
        rows += [
            [title, *(_said("growth", f"{axis}.{cost}.{law}", ".2f") for cost in COSTS)] for law, title in laws.items()
        ]
        parts.append(page.table([label, *(title for title, _ in COSTS.values())], rows))
    return "\n".join(parts)


def _bars() -> figure.Figure:
    """Wall seconds a round of every system on W2, on a logarithmic scale."""
    metrics = _metrics("training")
    systems = [each for each in SYSTEMS if f"w2.{each}.wall_seconds" in metrics]
    drawn = figure.Figure(figsize=(7, 0.4 * len(systems) + 1.0))
    axes = drawn.subplots()
    values = [metrics[f"w2.{each}.wall_seconds"]["median"] for each in systems]
    inks = ["#b0b7c3" if each in {"pfl", "flower", "loop"} else page.INK for each in systems]
    axes.barh(range(len(systems)), values, color=inks)
    axes.set_yticks(range(len(systems)), [SYSTEMS[each] for each in systems])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("wall seconds a round: 1,000 holders of 50 examples, 100 a round, logistic regression")
    return drawn


def _laws() -> figure.Figure:
    """CPU seconds a round, those to start, and memory, by size."""
    drawn = figure.Figure(figsize=(9, 3.2))
    for axes, (axis, label) in zip(drawn.subplots(1, 2), AXES.items(), strict=True):
        sizes: list[Any] = page.result("growth")["config"][axis]
        for cost, ink in (("cpu_seconds", page.INK), ("start_cpu", "#5b8db8"), ("peak_mib", "#b0b7c3")):
            values = [_metrics("growth")[f"{axis}.{size}.{cost}"]["median"] for size in sizes]
            slope = _said("growth", f"{axis}.{cost}.exponent_last", ".2f")
            axes.loglog(sizes, values, "o-", color=ink, label=f"{COSTS[cost][0]}, last step {slope}", markersize=3)
        axes.set_xlabel(label)
        axes.legend(fontsize=7)
    return drawn


TABLES = {"rounds": _rounds, "against": _against, "phases": _phases, "growth": _growth}
PLOTTED = {"speed": _bars, "growth": _laws}


def main() -> None:
    """Write the page and its plots."""
    try:
        PAGE.write_text(made(PAGE.read_text()))
        drawn = draw(page.PLOTS)
    except errors.BenchmarkError as error:
        sys.exit(f"benchmarks.speed_page: {error}")
    print(*(path.relative_to(page.ROOT) for path in (PAGE, *drawn)))  # noqa: T201  its output


if __name__ == "__main__":
    main()
