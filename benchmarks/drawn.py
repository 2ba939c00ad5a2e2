"""Who trains in which round of the bare systems, and in which order each visits its examples: the same for all of them."""

import numpy as np

from client import seeds


def cohorts(holders: int, cohort: int, rounds: int) -> list[list[int]]:
    """Numbers of the holders of each round, ascending."""
    draw = np.random.default_rng(77)
    return [sorted(draw.choice(holders, cohort, replace=False).tolist()) for _ in range(rounds)]


def order(seed: int, number: int, holder: int) -> np.random.Generator:
    """What draws the order of a holder's examples in round `number`, from 1, of a run with this seed."""
    return seeds.generator(seed, round_number=number, member=str(holder), purpose="batches")
