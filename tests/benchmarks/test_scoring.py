"""The scoring benchmark measures what its page says."""

from benchmarks import scoring


def test_liars_move_values_within_the_bounds_and_means_beyond() -> None:
    """Must-show 5: up to two liars of five; every value inside theory's bounds; where gains are averaged one liar takes all."""
    found = scoring.measured(scoring.Config(tasks=("table",), seeds=(0,), rounds=2, holders=5), "table", 0)
    assert {value for name, value in found.items() if name.endswith("/inside")} == {1.0}
    for lie in scoring.LIES:
        assert (found[f"{lie}.0/moved"], found[f"{lie}.0/bound"]) == (0, 0)
        assert 0 < found[f"{lie}.1/bound"] < found[f"{lie}.2/bound"]
        assert found[f"{lie}.2/moved"] <= found[f"{lie}.2/bound"]
    assert found["inflate.1/plain_friend"] > 4.99
    assert found["inflate.1/friend"] < 1.5
