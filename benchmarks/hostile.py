"""What one hostile client of ten does: to Flower's own strategies, to RobustStrategy in Flower, and to `folkmoot run`.

Everywhere the ordinary app of examples/flower, three rounds, and the accuracy on the same 360 images afterwards. Flower's
strategies run on a grid that is a plain loop, so nothing but the strategy decides. In `folkmoot run` the app's own lies are the
same where the protocol has a place for them; what a holder's software would never let out is sent by a holder with another
software (`client.hostile`).
"""

import contextlib
import dataclasses
import io
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks import flower_loop, report
from client import arrays
from orchestrator import config, folder, infer, progress, strategies
from orchestrator import run as main_job

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when flwr is imported
from flwr import app
from flwr.serverapp import strategy

EXAMPLE = Path(__file__).parent.parent / "examples" / "flower"
CLIENTS, ROUNDS, RATE = 10, 3, 0.05
STRATEGIES: Mapping[str, Callable[[], Any]] = {
    "FedAvg": strategy.FedAvg,
    "Krum": lambda: strategy.Krum(num_malicious_nodes=1),
    "MultiKrum": lambda: strategy.MultiKrum(num_malicious_nodes=1, num_nodes_to_select=9),
    "Bulyan": lambda: strategy.Bulyan(num_malicious_nodes=1),
    "FedMedian": strategy.FedMedian,
    "FedTrimmedAvg": strategy.FedTrimmedAvg,
    "RobustStrategy": lambda: strategies.RobustStrategy(byzantine=1),
}
OURS = "folkmoot run"
ATTACKS: Mapping[str, str] = {
    "none": "",
    "extra_key": "extra_tensor",
    "wrong_shape": "wrong_shape",
    "garbage": "garbage",
    "nan": "not_finite",
    "inf": "off_lattice",
    "sign_flip": "",
    "many_examples": "",
    "nan_examples": "",
    "negative_examples": "",
}
"""Of examples/flower/hostile.py, each with the holder's behaviour that stands for it; empty where the app's own lie runs."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Which attacks, and against what."""

    attacks: tuple[str, ...] = tuple(ATTACKS)
    against: tuple[str, ...] = (*STRATEGIES, OURS)


QUICK = Config(attacks=("none", "garbage", "sign_flip"), against=("FedAvg", "RobustStrategy", OURS))


def run(wanted: Config, say: Callable[[str], None]) -> report.Report:
    """Accuracy in percent by attack and strategy; `ATTACK.STRATEGY.dies` where an exception ended the run.

    Args:
        wanted: what to run.
        say: is told what runs.
    """
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    values: dict[str, list[float]] = {}
    with example():
        for attack in wanted.attacks:
            for name in wanted.against:
                say(f"{attack} against {name}")
                found = _folkmoot(attack) if name == OURS else accuracy(attack, STRATEGIES[name]())
                values[f"{attack}.{name}" + ("" if found is not None else ".dies")] = [100 * found if found else 1.0]
    return report.make("hostile", dataclasses.asdict(wanted), values, load=load)


def accuracy(attack: str, made: Any) -> float | None:  # noqa: ANN401  a strategy of Flower's
    """What a strategy reaches; None where the run ends with an exception.

    Args:
        attack: its name.
        made: the strategy, not yet started; the example's folder is on the path.
    """
    import hostile  # noqa: PLC0415  of the example
    from digits import client_app  # noqa: PLC0415

    quiet = [logging.getLogger(name) for name in ("flwr", strategies.__name__)]
    for logger in quiet:
        logger.setLevel(logging.CRITICAL)
    start = app.ArrayRecord(client_app.network().state_dict())
    grid = flower_loop.LoopGrid(hostile.app(attack), CLIENTS)
    try:
        with np.errstate(all="ignore"):
            found = made.start(
                grid=grid, initial_arrays=start, num_rounds=ROUNDS, train_config=app.ConfigRecord({"lr": RATE})
            )
    except Exception:  # noqa: BLE001  whatever a strategy lets out: that it does is what is measured
        return None
    finally:
        for logger in quiet:
            logger.setLevel(logging.NOTSET)
    return _judged(found.arrays)


def table(found: Mapping[str, Any]) -> list[list[str]]:
    """Rows of text, the header first, of a report's JSON."""
    against = found["config"]["against"]
    return [
        ["attack", *against],
        *([f"`{attack}`", *(_cell(found["metrics"], f"{attack}.{name}") for name in against)]
          for attack in found["config"]["attacks"]),
    ]  # fmt: skip


def _cell(metrics: Mapping[str, Any], key: str) -> str:
    if f"{key}.dies" in metrics:
        return "**dies**"
    return f"{metrics[key]['median'] / 100:.3f}"


def _folkmoot(attack: str) -> float:
    """What `folkmoot run` reaches, its rule chosen by itself."""
    behaviour = ATTACKS[attack]
    own = attack != "none" and not behaviour
    # The example's ServerApp says what it sees, also where only its first message is wanted.
    with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(io.StringIO()):
        chosen = config.compose(
            [
                "task=flower",
                f"app={f'hostile:{attack}' if own else 'digits.client_app:app'}",
                f"task.server={'hostile:server' if own else 'digits.server_app:app'}",
                *([f"+attack.behaviours.holder-00={behaviour}"] if behaviour else []),
                f"rounds={ROUNDS}",
                f"task.learning_rate={RATE}",
                "task.judged=0",
                "rule.byzantine=1",
                "privacy=none",
                "pool=inprocess",
                f"dir={root}/run",
            ]
        )
        with progress.Progress(Console(quiet=True), {}) as show:
            main_job.execute(chosen, show, [])
        model = infer.load(folder.RunFolder(root=Path(root) / "run"), None)
        layout = arrays.Layout(specs=model.agreed.specs, dtypes=(np.dtype("<f4"),) * len(model.agreed.specs))
        return _judged(arrays.record(layout, model.checkpoint.weights, {}))


def _judged(found: Any) -> float:  # noqa: ANN401  an ArrayRecord of Flower's
    from digits import client_app  # noqa: PLC0415

    model = client_app.network()
    model.load_state_dict(found.to_torch_state_dict())
    images, labels = client_app.digits()
    return float(client_app.judge(model, images[: client_app.TESTS], labels[: client_app.TESTS])["accuracy"])


@contextlib.contextmanager
def example() -> Any:  # noqa: ANN401  a context manager
    """The example's folder, as Python's and as the working folder."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        with contextlib.chdir(EXAMPLE):
            yield
    finally:
        sys.path.remove(str(EXAMPLE))
