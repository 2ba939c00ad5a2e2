"""What a holder has spent: durable, before anything leaves, and never given back."""

from pathlib import Path

import pytest

from client import errors, spending

RUN, OTHER = "ab" * 32, "cd" * 32
NOON = 1_800_000_000


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spent(tmp_path: Path, clock: Clock) -> spending.Spending:
    return spending.Spending(tmp_path / "data" / "spending.jsonl", clock=clock)


def pay(where: spending.Spending, number: int, *, run: str = RUN, size: int = 100, noise: float = 1.5) -> None:
    where.charge(run=run, number=number, size=size, noise=noise, admit=lambda _: None)


def path_of(where: spending.Spending) -> Path:
    return where._path


def test_what_was_spent_is_read_back(spent: spending.Spending, tmp_path: Path) -> None:
    """Another process finds every entry, of all runs on the same data; the file is for the holder's eyes."""
    assert spent.so_far() == spending.Spent(now=NOON)
    pay(spent, 1)
    pay(spent, 1, run=OTHER, noise=0.0)
    pay(spent, 2, size=50)
    again = spending.Spending(path_of(spent), clock=lambda: NOON).so_far()
    assert again.rounds == {(RUN, 1), (RUN, 2), (OTHER, 1)} == again.today
    assert (again.bytes_out, again.noises) == (250, (1.5, 0.0, 1.5))
    first = path_of(spent).read_text().splitlines()[0]
    assert first == f'{{"noise":"1.5","round":1,"run":"{RUN}","size":100,"time":{NOON}}}'
    assert path_of(spent).stat().st_mode & 0o777 == 0o600


def test_what_another_process_spent_meanwhile_counts(spent: spending.Spending) -> None:
    """Lines are read once, but the file each time: appended, changed or taken away behind its back, it is what it is now."""
    pay(spent, 1)
    other = spending.Spending(path_of(spent), clock=lambda: NOON)
    pay(other, 1, run=OTHER)
    assert len(spent.so_far().entries) == 2
    pay(spent, 2)
    assert other.so_far() == spent.so_far()
    lines = path_of(spent).read_bytes()
    path_of(spent).write_bytes(lines.replace(b'"size":100', b'"size":999', 1))
    assert spent.so_far().bytes_out == 999 + 200
    path_of(spent).write_bytes(b"x" + lines[1:])
    with pytest.raises(errors.SpendingError):
        spent.so_far()
    path_of(spent).unlink()
    assert spent.so_far().entries == ()


def test_a_round_sealed_twice_is_one_round_and_two_releases(spent: spending.Spending) -> None:
    """Whoever died before the outbox seals again: what may have left twice is counted twice, the round is still one."""
    pay(spent, 1)
    pay(spent, 1)
    so_far = spent.so_far()
    assert (len(so_far.rounds), so_far.bytes_out, len(so_far.noises)) == (1, 200, 2)


def test_too_much_is_not_written(spent: spending.Spending) -> None:
    """Whoever is refused at the last moment has spent nothing."""

    def refuse(_: spending.Spent) -> None:
        raise errors.RefusalError("policy-rounds", "no")

    pay(spent, 1)
    before = path_of(spent).read_bytes()
    with pytest.raises(errors.RefusalError):
        spent.charge(run=RUN, number=2, size=1, noise=0.0, admit=refuse)
    assert path_of(spent).read_bytes() == before


def test_what_is_asked_last_sees_what_others_spent(spent: spending.Spending) -> None:
    """Two processes with one file: the second is asked with the first one's entry before it may spend."""
    mine = spending.Spending(path_of(spent), clock=lambda: NOON)
    seen = []
    mine.so_far()
    pay(spent, 1)
    mine.charge(run=OTHER, number=1, size=1, noise=0.0, admit=lambda before: seen.append(before.rounds))
    assert seen == [{(RUN, 1)}]


def test_a_day_goes_by(spent: spending.Spending, clock: Clock) -> None:
    """The daily allowance counts 24 hours back from now."""
    pay(spent, 1)
    clock.now += spending.DAY - 1
    assert len(spent.so_far().today) == 1
    clock.now += 1
    assert len(spent.so_far().today) == 0
    assert len(spent.so_far().rounds) == 1


@pytest.mark.parametrize("back", [1, 3 * spending.DAY, NOON])
def test_a_clock_that_goes_back_gives_nothing_back(spent: spending.Spending, clock: Clock, back: int) -> None:
    """Neither a spent day nor one that the policy has expired on: time stands still until the clock has caught up."""
    pay(spent, 1)
    clock.now -= back
    so_far = spent.so_far()
    assert (so_far.now, len(so_far.today)) == (NOON, 1)
    pay(spent, 2)
    assert [each.time for each in spent.so_far().entries] == [NOON, NOON]
    clock.now = NOON + spending.DAY - 1
    assert len(spent.so_far().today) == 2


@pytest.mark.parametrize("kept", range(1, 20, 3))
def test_a_line_cut_short_was_never_spent(spent: spending.Spending, kept: int) -> None:
    """A crash within the write leaves a piece of a line: nothing left on its strength, and the next line is whole."""
    pay(spent, 1)
    whole = path_of(spent).read_bytes()
    pay(spent, 2)
    path_of(spent).write_bytes(path_of(spent).read_bytes()[: len(whole) + kept])
    assert spent.so_far().rounds == {(RUN, 1)}
    pay(spent, 3)
    assert spent.so_far().rounds == {(RUN, 1), (RUN, 3)}
    assert path_of(spent).read_bytes().startswith(whole)


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"noise":"1.5","round":1,"run":"a","size":100,"time":1,"x":1}\n',
        b'{"noise":"nan","round":1,"run":"a","size":100,"time":1}\n',
        b'{"noise":"-1.0","round":1,"run":"a","size":100,"time":1}\n',
        b'{"noise":"1.50","round":1,"run":"a","size":100,"time":1}\n',
        b'{"noise":"x","round":1,"run":"a","size":100,"time":1}\n',
        b'{"noise":"1.5","round":1,"run":"a","size":-100,"time":1}\n',
        b'{"noise":"1.5", "round":1,"run":"a","size":100,"time":1}\n',
        b'{"noise":"1.5","round":"1","run":"a","size":100,"time":1}\n',
    ],
)
def test_a_damaged_file_stops_the_holder(spent: spending.Spending, line: bytes) -> None:
    """How much was spent is unknown then: nothing more can be, and nothing is written over."""
    pay(spent, 1)
    path_of(spent).write_bytes(line + path_of(spent).read_bytes())
    before = path_of(spent).read_bytes()
    with pytest.raises(errors.SpendingError, match=r"spending\.jsonl"):
        spent.so_far()
    with pytest.raises(errors.SpendingError):
        pay(spent, 2)
    assert path_of(spent).read_bytes() == before
