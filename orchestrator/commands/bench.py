"""The commands `folkmoot bench ...`: each runs one suite, shows what it found and writes it as JSON."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from benchmarks import report

RESULTS = Path("benchmarks/results")
SUITES = (
    (
        "rounds",
        "What a round of the main job costs, everything on, beside a plain FedAvg loop; and over HTTP, beside one process.",
        "Two repetitions of five rounds instead of five of ten, and two holders over HTTP instead of up to a hundred.",
        """Over HTTP the coordinator and the service are processes, and the holders are threads of as many more as there are
        processors, each with its own key, folder and connections, which go through a proxy that counts bytes.""",
    ),
    (
        "training",
        "What training costs, holder by holder and side by side, and a round with everything on, beside a loop, pfl, Flower.",
        "Two turns of few rounds instead of five, no Ray and no peers.",
        "",
    ),
    (
        "growth",
        "What a run costs by the number of its holders, to 10,000, and of its parameters, to 100 million; and by what law.",
        "Up to 100 holders and a million parameters, in under a minute.",
        "",
    ),
    (
        "shares",
        "What sealing, store, ledger and aggregation take of a round's CPU seconds, with 25 and 126 million parameters.",
        "25 million parameters once, in a minute.",
        "",
    ),
    (
        "aggregation",
        "What each rule costs, beside one read of the matrix, byzfl and Flower (set up under .peers/ when first asked for).",
        "One small matrix and no streams, in under a minute.",
        "",
    ),
    (
        "ledger",
        "What the log costs: appends beside bare synced writes, verification beside bare Ed25519, proofs and memory by size.",
        "A log of 10,000 entries instead of a million, in under a minute.",
        "",
    ),
    (
        "exchange",
        "What the way of an update costs, sealed into a store and back: beside a bare write and hash, pyrage, torch.save.",
        "Updates of 7 and 50 MB twice instead of 7, 100 and 500 MB five times, in under a minute.",
        "",
    ),
    (
        "service",
        "What a run's service bears: statements offered at a fixed rate while tails listen to all of it; its memory beside.",
        "A hundred statements a second for three seconds beside 20 tails instead of a thousand for a minute beside 200.",
        "",
    ),
    (
        "hostile",
        "What one hostile client of ten does to Flower's strategies, to ours in Flower, and to a run: accuracy, or who dies.",
        "Three attacks on three of them, in under a minute.",
        "",
    ),
    (
        "strategies",
        "What Flower's strategies reach on Flower's engine (set up under .peers/) and on FolkmootGrid, audited: accuracy.",
        "Two of the six, two rounds, in under a minute.",
        "",
    ),
    (
        "flower",
        "What a round of a Flower app costs: in a plain loop, on Flower's engine (set up under .peers/), on FolkmootGrid.",
        "The small model of 100 clients, few rounds, in under two minutes.",
        "",
    ),
    (
        "credit",
        "What credit is worth: correlation to exact Shapley values, cost, and pay to each kind of cheater, by method.",
        "One task, one seed, four cheats, four rounds, in under a minute.",
        "",
    ),
    (
        "scoring",
        "What lying scorers move, of values and of pay, beside the bounds of theory: cross-holder scoring (docs/credit.md).",
        "One training of three rounds instead of six of ten, in under a minute.",
        "",
    ),
)
"""Suites that take no options of their own: module of `benchmarks`, what it measures, what `--quick` leaves out, and more."""
Command = TypeVar("Command", bound=Callable[..., None])


def _options(quick: str) -> Callable[[Command], Command]:
    """The options that every suite has; `quick` says what its short form leaves out."""

    def add(command: Command) -> Command:
        command = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")(command)
        where = click.Path(path_type=Path)
        command = click.option("--out", type=where, default=RESULTS, show_default=True, help="Folder.")(command)
        return click.option("--quick", is_flag=True, help=quick)(command)

    return add


@click.group()
def bench() -> None:
    """Measure, beside floors and peers in the same run; results are JSON.

    \b
    folkmoot bench rounds --quick
    folkmoot bench training
    folkmoot bench robustness --workers 2
    folkmoot bench flower --out /tmp/results --json
    """  # noqa: D301  click reads the escape


def _command(name: str, what: str, quick: str, more: str) -> click.Command:
    """The command of a suite."""

    def measure(out: Path, *, quick: bool, as_json: bool) -> None:
        suite = importlib.import_module(f"benchmarks.{name}")  # no other command needs it
        _measure(lambda say: suite.run(suite.QUICK if quick else suite.Config(), say), out, as_json)

    examples = f"\b\nfolkmoot bench {name}\nfolkmoot bench {name} --quick --out /tmp/results"
    parts = (what, " ".join(more.split()), examples)
    return click.command(name, help="\n\n".join(part for part in parts if part))(_options(quick)(measure))


for each in SUITES:
    bench.add_command(_command(*each))


@bench.command()
@_options("A few rules and attacks, few rounds, in under a minute.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Processes, on Ray.")
@click.option("--rule", "rules", multiple=True, help="Only this rule, as arc+nnm+trimmed_mean; may be repeated.")
def robustness(out: Path, *, quick: bool, workers: int, rules: tuple[str, ...], as_json: bool) -> None:
    """How accurate a model is that attackers worked against, for every rule; interrupted, the same command goes on.

    \b
    folkmoot bench robustness
    folkmoot bench robustness --rule trimmed_mean --rule arc+nnm+trimmed_mean --out /tmp/results
    """  # noqa: D301  click reads the escape
    from benchmarks import robustness as suite  # noqa: PLC0415

    wanted = suite.QUICK if quick else suite.Config()
    chosen = suite.only(wanted, rules) if rules else wanted
    _measure(lambda say: suite.run(chosen, out, workers, say), out, as_json)


def _measure(suite: Callable[[Callable[[str], None]], "report.Report"], out: Path, as_json: bool) -> None:
    """Run a suite with a status line, write its report, show it."""
    from benchmarks import errors, report  # noqa: PLC0415

    console = Console(stderr=True, soft_wrap=True)
    try:
        with console.status("measuring") as status:
            made = suite(status.update)
    except errors.BenchmarkError as error:
        click.echo(f"folkmoot: {error}", err=True)
        sys.exit(error.exit_code)
    path = report.write(made, out)
    if as_json:
        click.echo(made.to_json())
        return
    table = Table("metric", "median", "low", "high", "n", box=None, header_style="dim")
    for name, metric in made.metrics.items():
        table.add_row(name, *(f"{value:.4g}" for value in (metric.median, metric.low, metric.high)), str(metric.n))
    Console(soft_wrap=True).print(table)
    for name, reason in made.config.get("left_out", {}).items():
        click.echo(f"{name} is left out: {reason}", err=True)
    click.echo(f"load before {made.load:.1f}; written to {path}")
