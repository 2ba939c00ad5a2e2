"""Seeds of a run: sha256 over (seed, round, member, purpose), so that no draw depends on the order of work.

sha256("folkmoot/seed/v1" LF seed LF round LF member LF purpose)    first 8 bytes, big-endian, docs/protocol.md P7
"""

import hashlib

import numpy as np


def derive(seed: int, *, round_number: int, member: str, purpose: str) -> int:
    """The 64-bit seed of one purpose of one member in one round.

    Args:
        seed: the run's seed, from its plan.
        round_number: 0 before the first round.
        member: name of the member that draws, empty for a draw that belongs to nobody.
        purpose: what is drawn, such as `batches`.

    Returns:
        An integer in 0 .. 2**64 - 1.
    """
    text = f"folkmoot/seed/v1\n{seed}\n{round_number}\n{member}\n{purpose}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def generator(seed: int, *, round_number: int, member: str, purpose: str) -> np.random.Generator:
    """A numpy generator on the seed that `derive` gives for the same arguments."""
    return np.random.default_rng(derive(seed, round_number=round_number, member=member, purpose=purpose))
