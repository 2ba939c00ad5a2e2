"""One hostile client of ten: no run of ours dies, and no accuracy falls below 0.90 where the honest run has 0.93."""

import sys
from collections.abc import Iterator

import pytest
import torch

from benchmarks import hostile, page
from orchestrator import strategies

FLOOR = 0.90


@pytest.fixture(scope="module")
def example() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with hostile.example():
        yield
    torch.set_num_threads(threads)
    for name in ("hostile", "digits", "digits.client_app", "digits.server_app"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("attack", hostile.ATTACKS)
def test_robust_strategy_withstands_the_attack(attack: str, example: None) -> None:
    """In Flower, with a client that lies in each of nine ways, and with none (attacks.md)."""
    found = hostile.accuracy(attack, strategies.RobustStrategy(byzantine=1))
    assert found is not None
    assert found > (0.93 if attack == "none" else FLOOR)


def test_the_attacks_are_some(example: None) -> None:
    """FedAvg dies of one, and learns nothing under another: the benchmark can tell."""
    assert hostile.accuracy("garbage", hostile.STRATEGIES["FedAvg"]()) is None
    assert hostile.accuracy("sign_flip", hostile.STRATEGIES["FedAvg"]()) < 0.2


@pytest.mark.parametrize("attack", ["extra_key", "sign_flip"])
def test_a_run_of_ours_withstands_it(attack: str) -> None:
    """`folkmoot run` with the same ClientApp: one lie that another software sends, and one of the app's own."""
    only = hostile.Config(attacks=(attack,), against=(hostile.OURS,))
    found = hostile.run(only, lambda _: None)
    assert found.metrics[f"{attack}.{hostile.OURS}"].median > 100 * FLOOR


def test_the_committed_table_holds_the_promise() -> None:
    """All nine attacks, both of ours, in the results that the page shows."""
    header, *rows = hostile.table(page.result("hostile"))
    assert [row[0].strip("`") for row in rows] == list(hostile.ATTACKS)
    for name in ("RobustStrategy", hostile.OURS):
        column = header.index(name)
        assert all(float(row[column]) > FLOOR for row in rows)
        assert float(rows[0][column]) > 0.93
