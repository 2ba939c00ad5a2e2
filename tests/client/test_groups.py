"""Who trains beside whom is decided by the round, and by nothing that differs between machines or after a crash."""

from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from client import groups

COHORTS = st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=40)


@given(cohort=COHORTS, most=st.integers(1, 9), data=st.data())
def test_a_cohort_is_divided_by_its_members_alone(cohort: list, most: int, data: st.DataObject) -> None:
    """Everybody is in one group; a group has one number of examples and its limit; who was heard before changes no group."""
    names = [f"m{number}" for number in range(len(cohort))]
    sizes = {name: size for name, (size, _) in zip(names, cohort, strict=True)}
    hostile = {name for name, (_, alone) in zip(names, cohort, strict=True) if alone}
    whole = groups.divide(names, names, sizes.__getitem__, alone=hostile, most=most)
    assert sorted(name for group in whole for name in group.members) == sorted(names)
    for group in whole:
        assert group.asked == group.members
        assert len(group.members) <= most
        assert len({sizes[name] for name in group.members}) == 1
        assert len(group.members) == 1 or not hostile & set(group.members)
    left = data.draw(st.sets(st.sampled_from(names)))
    again = groups.divide(names, left, sizes.__getitem__, alone=hostile, most=most)
    assert [group.members for group in again] == [group.members for group in whole if left & set(group.members)]
    assert sorted(name for group in again for name in group.asked) == sorted(left)


def test_groups_are_as_equal_as_may_be() -> None:
    """100 alike, at most 64 together: two workers have 50 each."""
    names = [f"m{number}" for number in range(100)]
    found = groups.divide(names, names, lambda _: 50, alone=(), most=64)
    assert [len(group.members) for group in found] == [50, 50]


def test_how_many_fit_follows_from_the_size_of_the_model() -> None:
    """Small ones up to 64; 8 MiB hold 10 models of 200,000 parameters; of 300,000 too few to pay; what is configured counts."""
    for parameters, expected in ((1000, 64), (200_000, 10), (300_000, 1), (1_663_370, 1)):
        model = nn.Linear(parameters, 1, bias=False)
        assert groups.most(model, groups.AUTO) == expected
        assert groups.most(model, 3) == 3


@given(numbers=st.sets(st.integers(0, 30), min_size=1))
def test_one_by_one_each_keeps_to_its_worker(numbers: set) -> None:
    """An app's state may live in a process: whoever else is asked, a member's home is its own number."""
    division = groups.OneByOne({f"m{number}": number for number in range(31)})
    found = division.of([f"m{number}" for number in sorted(numbers)], b"")
    assert [(group.members, group.asked, group.home) for group in found] == [
        ((f"m{number}",), (f"m{number}",), number) for number in sorted(numbers)
    ]
