"""FedML's contribution module on rounds that are handed over; runs in its environment with nothing of ours.

The request names a file of arrays, for each round r the players' updates `updates_r`, float64 `(players, dim)`, and
`utility_r`, float64 `(2**players,)`: what each coalition is worth, in nats, player i being bit i. The answer:

    {"rounds":{"GTG":[{"values":[...],"evaluations":780,"cpu_seconds":0.1},...],"LOO":[...]},
     "published":{"GTG":"KeyError: 0",...}}

FedML's class is called as FedML's server calls it: it makes a model of each coalition by the aggregation that it is given, the
mean, and has it validated. The published classes fail where they would write their values down: `published` says how. Then
the one dictionary that they forget to make is there beforehand, and nothing else is changed.
"""

import contextlib
import importlib.machinery
import io
import json
import random
import sys
import sysconfig
import time
import types
from pathlib import Path
from typing import Any

import numpy as np

# `import fedml` would need eighty packages more, agents of its cloud and setuptools below 81 among them. The files of the
# module itself need numpy and scipy alone, and are run as they were published.
where = Path(sysconfig.get_path("purelib"), "fedml")
for name, folder in (("fedml", where), ("fedml.core", where / "core")):
    package = types.ModuleType(name)
    package.__path__ = [str(folder)]
    package.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    sys.modules[name] = package
from fedml.core.contribution import contribution_assessor_manager  # noqa: E402

METHODS = ("GTG", "LOO")


class Game:
    """A round, as FedML's classes ask for it; players have the ids 1 to n, which their arithmetic takes for granted."""

    def __init__(self, updates: np.ndarray, utility: np.ndarray) -> None:
        self._utility = utility
        self.updates = {number + 1: update for number, update in enumerate(updates)}
        self.evaluations = 0

    def aggregate(self, _args: object, chosen: dict[int, np.ndarray]) -> tuple[int, np.ndarray]:
        """The mean of some updates, and which they are."""
        return sum(1 << number - 1 for number in chosen), np.mean(list(chosen.values()), axis=0)

    def validate(self, model: tuple[int, np.ndarray], _data: object, _device: object) -> float:
        """What a model is worth."""
        self.evaluations += 1
        return float(self._utility[model[0]])


def assessed(method: str, game: Game, whole: float, *, mended: bool) -> dict[int, float]:
    """What FedML's class makes of a round; raises whatever it raises."""
    players = list(game.updates)
    args = types.SimpleNamespace(contribution_alg=method, round_idx=0, client_num_in_total=len(players))
    manager = contribution_assessor_manager.ContributionAssessorManager(args)
    if mended:
        manager.get_assessor().shapley_values_by_round[0] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        manager.run(len(players), players, game.aggregate, game.updates, 0.0, whole, None, game.validate, None)
    found: dict[int, float] = manager.get_assessor().shapley_values_by_round.get(0, {})
    return found


def failure(method: str, game: Game, whole: float) -> dict[str, str]:
    """How a class fails as it was published; nothing if it does not."""
    try:
        assessed(method, game, whole, mended=False)
    except Exception as error:  # noqa: BLE001  what it is, is the measurement
        return {method: f"{type(error).__name__}: {error}"}
    return {}


def main() -> None:
    """Answer the request on the command line."""
    request = json.loads(sys.argv[1])
    answer: dict[str, Any] = {"rounds": {method: [] for method in METHODS}, "published": {}}
    with np.load(request["file"]) as arrays:
        for number in range(request["rounds"]):
            updates, utility = arrays[f"updates_{number}"], arrays[f"utility_{number}"]
            for method in METHODS:
                if method not in answer["published"]:
                    answer["published"] |= failure(method, Game(updates, utility), float(utility[-1]))
                random.seed(request["seed"] + number)
                np.random.seed(request["seed"] + number)
                game, start = Game(updates, utility), time.process_time()
                found = assessed(method, game, float(utility[-1]), mended=True)
                values = [found.get(player, 0.0) for player in game.updates]
                cost = {"evaluations": game.evaluations, "cpu_seconds": time.process_time() - start}
                answer["rounds"][method].append({"values": values} | cost)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
