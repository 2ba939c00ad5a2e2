"""docs/aggregation.md, its tables and plots, and the tables of examples/flower/README.md: made of the benchmarks' JSON.

python -m benchmarks.page        writes between the marks `<!-- NAME -->` and `<!-- end -->`, and the plots beside
"""

import functools
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import figure

from benchmarks import errors, flower, hostile, robustness, strategies

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "aggregation.md"
PAGES = (PAGE, ROOT / "examples" / "flower" / "README.md")
PLOTS = ROOT / "docs" / "plots"
MARK = re.compile(r"(<!-- (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
INK = "#1f3a5f"


def page(text: str) -> str:
    """The page with every table made anew.

    Raises:
        ResultError: a result is missing; the message says which command makes it.
    """

    def filled(match: re.Match[str]) -> str:
        return f"{match[1]}\n{TABLES[match['name']]()}\n{match[3]}"

    return MARK.sub(filled, text)


def draw(folder: Path) -> list[Path]:
    """The plots, as SVG files that are the same bytes for the same results."""
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "folkmoot"
    made = []
    for name, plot in PLOTTED.items():
        drawn = plot()
        path = folder / f"{name}.svg"
        drawn.savefig(path, metadata={"Date": None}, bbox_inches="tight")
        made.append(path)
    return made


@functools.cache
def result(name: str) -> Mapping[str, Any]:
    """A benchmark's committed report."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise errors.ResultError(f"{path.name} is missing: run folkmoot bench {name}")
    found: Mapping[str, Any] = json.loads(path.read_text())
    return found


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, its first column to the left, all others to the right."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _speed() -> str:
    """Milliseconds, passes over the data and ratios to peers, a table for each size."""
    found = result("aggregation")
    parts = []
    for size in found["config"]["sizes"]:
        label = f"{size['clients']}x{size['dim']}"
        cpu = {
            key.removeprefix(f"{label}.").removesuffix(".cpu_ms"): value["median"]
            for key, value in found["metrics"].items()
            if key.startswith(f"{label}.") and key.endswith(".cpu_ms")
        }
        floor = cpu["floor.float32"]
        names = [
            key.removesuffix(".float32") for key in cpu if key.endswith(".float32") and not key.startswith("floor")
        ]
        rows = [["one read", f"{floor:.1f}", "1.0", "", "", ""]]
        rows += [
            [
                f"`{name}`",
                f"{cpu[f'{name}.float32']:.1f}",
                f"{cpu[f'{name}.float32'] / floor:.1f}",
                f"{cpu[f'{name}.int16']:.1f}",
                *(_against(cpu, peer, name) for peer in ("byzfl", "flwr")),
            ]
            for name in names
        ]
        title = f"n = {size['clients']}, f = {size['byzantine']}, {size['dim']:,} coordinates:\n\n"
        header = ["rule", "float32, ms", "passes", "int16, ms", "byzfl, ms", "Flower, ms"]
        parts.append(title + table(header, rows))
    return "\n".join(parts)


def _against(cpu: Mapping[str, float], peer: str, name: str) -> str:
    theirs = cpu.get(f"{peer}.{name}")
    return f"{theirs:,.0f} ({theirs / cpu[f'{name}.float32']:.0f}x)" if theirs else ""


def _streams() -> str:
    """Matrices from files: seconds and memory."""
    metrics = result("aggregation")["metrics"]
    rows = []
    for key in metrics:
        if ".streamed." in key and key.endswith(".cpu_ms"):
            stem = key.removesuffix(".cpu_ms")
            label, _, name = stem.partition(".streamed.")
            seconds = metrics[key]["median"] / 1000
            idle, peak = metrics[f"{stem}.idle_mib"]["median"], metrics[f"{stem}.peak_mib"]["median"]
            rows.append([f"`{name}`", label.replace("x", " x "), f"{seconds:.1f}", f"{peak - idle:.0f}"])
    return table(["rule", "clients x coordinates", "CPU s", "MiB beyond the idle process"], rows)


@functools.cache
def _scores() -> dict[tuple[str, float, float], dict[str, float]]:
    """Mean accuracy over seeds by (rule, alpha, momentum) and attack."""
    scores: dict[tuple[str, float, float], dict[str, float]] = {}
    for key, value in result("robustness")["metrics"].items():
        rule, alpha, momentum, attack = key.split("/")
        scores.setdefault((rule, float(alpha), float(momentum)), {})[attack] = value["mean"]
    return scores


def _worst(scores: Mapping[str, float]) -> tuple[float, str]:
    return min((score, attack) for attack, score in scores.items() if attack in robustness.ATTACKS)


def _robustness() -> str:
    """Worst and clean accuracy of every rule, with a holder's momentum and without."""
    found = result("robustness")["config"]
    columns = [(alpha, momentum) for momentum in found["momenta"] for alpha in found["alphas"]]
    rules = sorted(found["rules"], key=lambda rule: -_worst(_scores()[rule, *columns[0]])[0])
    rows = []
    for rule in rules:
        cells = []
        for column in columns:
            scores = _scores().get((rule, *column))
            worst = _worst(scores) if scores else None
            cells.append(f"{worst[0]:.1f} {worst[1]} ({scores['none']:.1f})" if scores and worst else "")
        rows.append([f"`{rule}`", *cells])
    return table(["rule", *(f"alpha {alpha}, momentum {momentum}" for alpha, momentum in columns)], rows)


def _beyond() -> str:
    """Accuracy under the further attacks, at the hardest setting."""
    found = result("robustness")["config"]
    alpha, momentum = found["alphas"][0], found["momenta"][0]
    rules = [rule for rule in robustness.PLAIN if rule in found["rules"]]
    rows = [[name, *(f"{_scores()[rule, alpha, momentum][name]:.1f}" for rule in rules)] for name in found["beyond"]]
    return table(["attack", *(f"`{rule}`" for rule in rules)], rows)


def _heat() -> figure.Figure:
    """Accuracy by rule and attack at the hardest setting."""
    found = result("robustness")["config"]
    alpha, momentum = found["alphas"][0], found["momenta"][0]
    rules = sorted(found["rules"], key=lambda rule: -_worst(_scores()[rule, alpha, momentum])[0])
    attacks = robustness.ATTACKS
    grid = [[_scores()[rule, alpha, momentum][attack] for attack in attacks] for rule in rules]
    drawn = figure.Figure(figsize=(9, 0.34 * len(rules) + 1.6))
    axes = drawn.subplots()
    axes.imshow(grid, cmap="viridis", vmin=10, vmax=100, aspect="auto")
    for row, scores in enumerate(grid):
        for column, score in enumerate(scores):
            ink = "white" if score < 60 else "black"
            axes.text(column, row, f"{score:.0f}", ha="center", va="center", fontsize=7, color=ink)
    axes.set_xticks(range(len(attacks)), [name.replace("_", " ") for name in attacks], rotation=40, ha="right")
    axes.set_yticks(range(len(rules)), rules)
    axes.set_title(f"Accuracy in %, digits, Dirichlet {alpha}, 4 of 20 Byzantine", fontsize=10)
    return drawn


def _bars() -> figure.Figure:
    """CPU milliseconds of our rules, the floor and byzfl, on a logarithmic scale."""
    found = result("aggregation")
    size = found["config"]["sizes"][0]
    label = f"{size['clients']}x{size['dim']}"
    cpu = {key: value["median"] for key, value in found["metrics"].items() if key.startswith(f"{label}.")}
    names = [key.split(".")[2] for key in cpu if key.startswith(f"{label}.byzfl.") and key.endswith(".cpu_ms")]
    drawn = figure.Figure(figsize=(7, 0.36 * len(names) + 1.2))
    axes = drawn.subplots()
    for offset, kind, colour in (
        (-0.27, "byzfl.{}", "#b0b7c3"),
        (0.0, "{}.float32", INK),
        (0.27, "{}.int16", "#5b8db8"),
    ):
        values = [cpu[f"{label}.{kind.format(name)}.cpu_ms"] for name in names]
        places = [number + offset for number in range(len(names))]
        axes.barh(places, values, height=0.26, color=colour, label=kind.format("").strip(".") or kind)
    axes.axvline(cpu[f"{label}.floor.float32.cpu_ms"], color="black", linewidth=0.8, linestyle=":", label="one read")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel(f"CPU ms, one thread, n = {size['clients']}, {size['dim']:,} coordinates")
    axes.legend(fontsize=8)
    return drawn


def _hostile() -> str:
    """Accuracy with one hostile client of ten, or that the run dies."""
    header, *rows = hostile.table(result("hostile"))
    return table(header, rows)


def _strategies() -> str:
    """Accuracy of Flower's strategies on its engine and on our grid."""
    header, *rows = strategies.table(result("strategies"))
    return table(header, rows)


def _flower() -> str:
    """What a round of a Flower app costs, by who carries its messages."""
    header, *rows = flower.table(result("flower"))
    return table(header, rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "beyond": _beyond,
    "flower": _flower,
    "hostile": _hostile,
    "robustness": _robustness,
    "speed": _speed,
    "strategies": _strategies,
    "streams": _streams,
}
PLOTTED: Mapping[str, Callable[[], figure.Figure]] = {"robustness": _heat, "aggregation": _bars}


def main() -> None:
    """Write the page and its plots."""
    try:
        for path in PAGES:
            path.write_text(page(path.read_text()))
        made = draw(PLOTS)
    except errors.BenchmarkError as error:
        sys.exit(f"benchmarks.page: {error}")
    print(*(path.relative_to(ROOT) for path in PAGES), *(path.relative_to(ROOT) for path in made))  # noqa: T201  its output


if __name__ == "__main__":
    main()
