"""The table of attacks: every one of them can be sent."""

import copy
import dataclasses

import pytest
import torch

from aggregation import attacks, disguises, knowledge, shifts


def rounds(number):
    generator = torch.Generator().manual_seed(3)
    honest = torch.randn(8, 6, generator=generator, dtype=torch.float64)
    return knowledge.Knowledge(
        honest=honest,
        byzantine=3,
        round=number,
        seed=1,
        previous=torch.randn(6, generator=generator, dtype=torch.float64),
        defence=lambda rows: rows.median(0).values,
        own=torch.randn(6, generator=generator, dtype=torch.float64),
    )


@pytest.mark.parametrize("name", attacks.ATTACKS)
@pytest.mark.parametrize("number", [1, 30])
def test_every_attack_sends_finite_updates_and_is_a_function_of_what_it_knows(name, number):
    """One row an attacker; the same twice; and the honest updates stay as they were."""
    known = rounds(number)
    before = copy.deepcopy(known.honest)
    sent = attacks.ATTACKS[name].function(known)
    assert sent.shape == (3, 6)
    assert bool(sent.isfinite().all())
    assert torch.equal(sent, attacks.ATTACKS[name].function(known))
    assert torch.equal(known.honest, before)
    sent.zero_()
    assert torch.equal(known.honest, before)


@pytest.mark.parametrize("name", sorted(set(attacks.ATTACKS) - {"model_replacement"}))
def test_in_the_first_round_an_attack_needs_no_past(name):
    """Without a last aggregate and without a learned direction every attack but the one on its own update can be sent."""
    known = dataclasses.replace(rounds(1), previous=None, own=None)
    assert bool(attacks.ATTACKS[name].function(known).isfinite().all())


def test_every_attack_says_what_it_sends():
    """One sentence each, no two alike."""
    sentences = [attack.sentence for attack in attacks.ATTACKS.values()]
    assert all(s.endswith(".") and s[0].isupper() for s in sentences)
    assert len(set(sentences)) == len(sentences)


def test_no_two_attacks_are_one():
    """In round 30 of one federation all send different updates, but the late ones, which are IPM by then."""
    known = rounds(30)
    sent = {name: tuple(attack.function(known)[0].tolist()) for name, attack in attacks.ATTACKS.items()}
    assert sent.pop("delayed") == sent["ipm_2"]
    assert len(set(sent.values())) == len(sent)


@pytest.mark.parametrize(
    ("name", "literal"),
    [
        ("ipm_0.1", lambda known: shifts.ipm(known, epsilon=0.1)),
        ("ipm_100", lambda known: shifts.ipm(known, epsilon=100.0)),
        ("alie_1.5", lambda known: shifts.alie(known, z=1.5)),
        ("mimic", lambda known: disguises.mimic(known, whom=0)),
        ("gaussian", lambda known: shifts.gaussian(known, sigma=200.0)),
        ("min_sum_unit", lambda known: shifts.min_sum(known, perturbation=shifts.against_mean)),
    ],
)
def test_names_say_the_parameters(name, literal):
    assert torch.equal(attacks.ATTACKS[name].function(rounds(1)), literal(rounds(1)))
