"""Splitting a pool of micro-credits, in integers that add up."""

from collections.abc import Mapping


def split(pool: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Each member's share of the pool in proportion to its weight, by largest remainder, ties by name.

    Args:
        pool: Micro-credits to give, >= 0.
        weights: Member -> weight >= 0.

    Returns:
        Member -> micro-credits >= 0, in order of name, summing to `pool` exactly; all zero when no weight is positive.

    Raises:
        ValueError: A negative pool or weight: the caller computed it wrongly.

    Reference: Hamilton's method (largest remainder), Balinski and Young, "Fair Representation" (1982), appendix A;
    docs/protocol.md P14.
    """
    if pool < 0 or any(weight < 0 for weight in weights.values()):
        raise ValueError(f"pool {pool} or a weight of {dict(weights)} is negative")
    total = sum(weights.values())
    if total == 0:
        return dict.fromkeys(sorted(weights), 0)
    shares = {name: pool * weights[name] // total for name in sorted(weights)}
    # sorted() is stable, so equal remainders stay in order of name.
    by_remainder = sorted(shares, key=lambda name: -(pool * weights[name] % total))
    for name in by_remainder[: pool - sum(shares.values())]:
        shares[name] += 1
    return shares
