"""Echoes, twins and silence: what the screen finds, and what it leaves alone (attacks 20, 21)."""

import numpy as np
import pytest
import torch

from aggregation import gram, lattice, novelty, sketch

WIDTH = 2000


def unit(vector):
    return vector / np.linalg.norm(vector)


def integers(rows):
    scaled = np.array([unit(row) for row in rows]) * 2**17
    return torch.from_numpy(np.clip(scaled, -32767, 32767).round().astype(np.int16))


@pytest.fixture
def world():
    """Ten holders: a shared direction, a direction of each, what this round is new to all, and noise."""
    draw = np.random.default_rng(3)
    noise = lambda: unit(draw.standard_normal(WIDTH))  # noqa: E731
    shared, new, own = noise(), noise(), [noise() for _ in range(10)]
    past = [unit(shared), *(unit(shared + own[i]) for i in range(10))]
    rows = [shared + own[i] + 0.5 * new + 0.5 * noise() for i in range(10)]
    return past, rows, noise


def judged(past, rows, f=2):
    left = novelty.innovations(integers(past), integers(rows))
    return novelty.chances(left, WIDTH - len(past), f), left


def test_who_learned_is_no_echo(world):
    """What is new to all this round shows in each honest update: T is far above 3."""
    past, rows, _ = world
    found, _ = judged(past, rows)
    assert min(found) > 10_000


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("source", ["aggregate", "copy", "mixture", "nothing"])
def test_what_was_public_is_an_echo_however_noised(world, source, noise):
    """A last delta, another's update, a mixture of them and pure noise: T is that of chance (attack 21)."""
    past, rows, drawn = world
    sent = {
        "aggregate": past[0],
        "copy": past[4],
        "mixture": 2 * past[1] - past[2] + past[3],
        "nothing": 1e-9 * past[0] + drawn(),
    }
    found, _ = judged(past, [*rows, unit(sent[source]) + noise * drawn()])
    assert found[-1] < 3_000 < min(found[:-1])
    assert novelty.echo(found[-1], [found[-1]])


def test_colluders_do_not_vouch_for_each_other(world):
    """Two keys with one noise explain each other; the f most alike are not asked."""
    past, rows, drawn = world
    shared = drawn()
    keys = [past[0] + shared + 0.1 * drawn() for _ in range(2)]
    assert max(judged(past, [*rows, *keys], f=2)[0][-2:]) < 3_000
    assert min(judged(past, [*rows, *keys], f=0)[0][-2:]) > 3_000


@pytest.mark.parametrize(
    ("chance", "before", "wanted"),
    [(999, [9000] * 3, True), (1000, [9000] * 3, False), (2999, [], True), (3000, [], False)],
)
def test_an_echo_is_told_by_this_round_and_the_last(chance, before, wanted):
    """Below 1 at once; a first round below 1 + 2; each counting as 6 at most."""
    assert novelty.echo(chance, before) is wanted


def test_a_sum_has_to_exceed_chance_by_its_own_spread():
    """Of four rounds 4 + 2 sqrt(4) = 8 is enough, and a loud one counts as 6: 1 + 1 + 1 + 6 is, 8 - 0.001 is not."""
    assert not novelty.echo(2000, [2000, 2000, 2000])
    assert novelty.echo(1999, [2000, 2000, 2000])
    assert not novelty.echo(1000, [1000, 1000, 90_000])
    assert novelty.echo(1000, [0, 900, 90_000])


def test_what_everybody_learned_makes_nobody_one():
    """Two pairs a fifth as far apart as others, by what the others have too: beyond that they are unlike, and not one."""
    generator = np.random.default_rng(3)
    axes = np.eye(400)
    common = [4.0 * axes[place] for place in range(4)]
    rows = [sum(generator.normal() * each for each in common) + axes[10 + place] for place in range(8)]
    twin = [2.0 * common[0] + 1.0 * axes[50], 2.0 * common[0] + 1.0 * axes[51]]
    matrix = integers([*rows, *twin])
    inner = gram.products(matrix).inner
    left = np.array(inner, dtype=np.float64)
    assert novelty.parties(inner, left, inner, 0, 2) == list(range(10))
    same = integers([*rows, twin[0], twin[0] + 0.2 * axes[52]])
    inner = gram.products(same).inner
    assert novelty.parties(inner, np.array(inner, dtype=np.float64), inner, 0, 2) == [*range(9), 8]


def test_too_few_to_tell():
    """With fewer than two others besides the f most alike, or few dimensions, nothing is said."""
    assert novelty.chances(np.eye(4), 100, 2) is None
    assert novelty.chances(np.eye(10), 27, 2) is None


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.25])
def test_keys_of_one_party_are_one(world, noise):
    """A copy within the round, exact or noised: one party with its source; nobody else is (attack 20)."""
    past, rows, drawn = world
    all_rows = [*rows, *(unit(rows[3]) + noise * drawn() for _ in range(2))]
    _, left = judged(past, all_rows)
    inner = gram.products(integers(all_rows)).inner
    assert novelty.parties(inner, left, inner, WIDTH - len(past), 2) == [*range(10), 3, 3]


def twins(past, rows, freedom=None):
    inner = gram.products(integers(rows)).inner
    left = novelty.innovations(integers(past), integers(rows))
    return novelty.parties(inner, left, inner, WIDTH - len(past) if freedom is None else freedom, 2)


def repeating(new, noise):
    """Holders who repeat what each has long shown; little is learned this round, so much of it common."""
    draw = np.random.default_rng(5)
    axis = lambda: unit(draw.standard_normal(WIDTH))  # noqa: E731
    own, learned = [axis() for _ in range(10)], axis()
    rows = [each + new * learned + 0.1 * axis() for each in own]
    keys = [rows[3] + noise * axis() for _ in range(2)]
    return own, rows, keys, axis


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_noise_does_not_hide_a_key_whose_holder_repeats_itself(noise):
    """Noise of twice what is new in an update: unlike as innovations, and an echo once the holder's is known (attack 20)."""
    own, rows, keys, _ = repeating(0.15, noise)
    assert twins(own, [*rows, *keys]) == [*range(10), 3, 3]
    assert noise < 0.3 or twins(own, [*rows, *keys], 0) == list(range(12))


def test_who_learned_beyond_another_is_not_its_party():
    """As close as a noised key, but what it has beyond the other the others learned too; or what it long had."""
    own, rows, _, axis = repeating(0.3, 0.3)
    assert twins(own, [*rows, own[3] + 0.1 * axis()]) == list(range(11))
    own, rows, _, axis = repeating(0.15, 0.3)
    assert twins(own, [*rows, rows[3] + 0.3 * own[6] + 0.2 * axis()]) == list(range(11))


def test_silence_is_below_a_thirty_second_of_the_median():
    """Squared lengths 1024 and 1 beside three of 1024: 1 * 1024 is not less than 1024; zero always is silent."""
    assert novelty.silent([1024, 1024, 1024, 1, 0]) == [False, False, False, False, True]
    assert novelty.silent([1025, 1025, 1025, 1, 0]) == [False, False, False, True, True]


def test_a_sketch_keeps_angles():
    """Of 100,000 coordinates in tensors of unlike exponents: cosines are those of the values, within 0.05."""
    draw = np.random.default_rng(0)
    on = lattice.Lattice(sizes=(60_000, 40_000), exponents=(-12, -9))
    base = draw.standard_normal(100_000) + 0.3  # a sum of unsigned coordinates would see little but the 0.3
    values = [unit(base + k * draw.standard_normal(100_000)) * 20 for k in (0.0, 0.5, 1.0, 3.0)]
    rows = torch.stack([lattice.encode(on, torch.from_numpy(each)).integers for each in values])
    kept = sketch.of(on, rows, seed=5).numpy().astype(float)
    assert kept.shape == (4, sketch.BUCKETS)
    assert np.abs(kept).max() == sketch.BOUND
    for row in range(4):
        assert abs(unit(kept[0]) @ unit(kept[row]) - unit(values[0]) @ unit(values[row])) < 0.05


def test_a_small_update_is_its_own_sketch():
    """Below 8,192 coordinates nothing is folded: 3 * 2**-1, -2 * 2**0 and 0 become the largest and its parts."""
    on = lattice.Lattice(sizes=(1, 2), exponents=(-1, 0))
    found = sketch.of(on, torch.tensor([[3, -2, 0], [0, 0, 0]], dtype=torch.int16), seed=1)
    assert found.tolist() == [[24575, -32767, 0], [0, 0, 0]]
