"""Pictures of a run: accuracy by round, credit by holder."""

from pathlib import Path

import matplotlib as mpl
from matplotlib import figure

from orchestrator import summary

WIDTH, HEIGHT = 7.0, 4.0


def draw(run: summary.Summary, folder: Path) -> list[Path]:
    """Write the plots of `run` into `folder`, as PNG; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        return [_accuracy(run, folder / "accuracy.png"), _credit(run, folder / "credit.png")]


def _accuracy(run: summary.Summary, path: Path) -> Path:
    drawing = figure.Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = drawing.subplots()
    axes.plot(range(1, run.rounds + 1), run.accuracy, marker=".")
    axes.set(xlabel="round", ylabel="accuracy on the public test set", ylim=(0, 1))
    axes.grid(alpha=0.3)
    drawing.savefig(path, dpi=120)
    return path


def _credit(run: summary.Summary, path: Path) -> Path:
    drawing = figure.Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = drawing.subplots()
    axes.barh(list(run.holders), [holder.credit / 1_000_000 for holder in run.holders.values()])
    axes.invert_yaxis()
    axes.set(xlabel="credits")
    axes.grid(axis="x", alpha=0.3)
    drawing.savefig(path, dpi=120)
    return path
