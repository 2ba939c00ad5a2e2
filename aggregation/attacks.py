"""The table of attacks: name -> function of what the attackers know, from which f updates come.

Attacks on the data, such as label flips and backdoors, are holders of their own kind (`client.hostile`).
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jaxtyping import Float64
from torch import Tensor

from aggregation import adaptive, disguises, knowledge, shifts

_SEARCH = adaptive.Search(evaluations=20, start=0.0, delta=10.0, ratio=0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack.

    Attributes:
        function: From what the attackers know to their updates, one a row.
        sentence: What they send, for people.
    """

    function: Callable[[knowledge.Knowledge], Float64[Tensor, "byzantine dim"]]
    sentence: str


def _row(function: Callable[..., Tensor], sentence: str, **parameters: object) -> Attack:
    return Attack(function=functools.partial(function, **parameters), sentence=sentence)


ATTACKS: Mapping[str, Attack] = MappingProxyType(
    {
        "sign_flip": _row(shifts.sign_flip, "The honest mean turned round."),
        "ipm_0.1": _row(shifts.ipm, "The honest mean times -0.1.", epsilon=0.1),
        "ipm_2": _row(shifts.ipm, "The honest mean times -2.", epsilon=2.0),
        "ipm_100": _row(shifts.ipm, "The honest mean times -100.", epsilon=100.0),
        "ipm_fitted": _row(
            adaptive.ipm, "The honest mean times the negative factor that harms the rule in use most.", search=_SEARCH
        ),
        "alie": _row(shifts.alie, "The honest mean plus as many standard deviations as a majority supports.", z=None),
        "alie_1.5": _row(shifts.alie, "The honest mean plus 1.5 standard deviations.", z=1.5),
        "alie_fitted": _row(
            adaptive.alie,
            "The honest mean plus as many standard deviations as harm the rule in use most.",
            search=_SEARCH,
        ),
        "mimic": _row(disguises.mimic, "Copies of the first honest holder's update.", whom=0),
        "mimic_learned": _row(
            disguises.mimic_learned, "Copies of the update furthest out where honest holders have differed most."
        ),
        "gaussian": _row(shifts.gaussian, "Noise of standard deviation 200.", sigma=200.0),
        "min_max": _row(
            shifts.min_max,
            "Against every coordinate's deviation, as far from an honest update as two honest ones are.",
            perturbation=shifts.against_deviation,
        ),
        "min_max_sign": _row(
            shifts.min_max, "As min_max, against the signs of the mean.", perturbation=shifts.against_sign
        ),
        "min_max_unit": _row(shifts.min_max, "As min_max, against the mean.", perturbation=shifts.against_mean),
        "min_sum": _row(
            shifts.min_sum,
            "Against every coordinate's deviation, as far from all honest updates as the outermost of them.",
            perturbation=shifts.against_deviation,
        ),
        "min_sum_sign": _row(
            shifts.min_sum, "As min_sum, against the signs of the mean.", perturbation=shifts.against_sign
        ),
        "min_sum_unit": _row(shifts.min_sum, "As min_sum, against the mean.", perturbation=shifts.against_mean),
        "fang_trimmed_mean": _row(
            adaptive.fang_trimmed_mean, "In every coordinate just beyond the honest, away from where their mean goes."
        ),
        "fang_krum": _row(adaptive.fang_krum, "The longest step against the signs of the mean that Krum would choose."),
        "rop": _row(shifts.rop, "The last aggregate, moved across itself by a typical honest deviation.", length=1.0),
        "sybil": _row(
            disguises.sybil,
            "Twice the honest mean turned round, no two copies alike.",
            attack=functools.partial(shifts.ipm, epsilon=2.0),
            sigma=0.01,
        ),
        "free_rider": _row(disguises.free_rider, "The last aggregate with a tenth of noise.", sigma=0.1),
        "zero": _row(disguises.zero, "Nothing: zeros."),
        "model_replacement": _row(shifts.model_replacement, "The attackers' own update times n / f."),
        "on_off": _row(
            disguises.on_off,
            "Twice the honest mean turned round for five rounds, the honest mean for the next five.",
            attack=functools.partial(shifts.ipm, epsilon=2.0),
            on=5,
            off=5,
        ),
        "delayed": _row(
            disguises.delayed,
            "The honest mean for twenty rounds, then twice it turned round.",
            attack=functools.partial(shifts.ipm, epsilon=2.0),
            rounds=20,
        ),
    }
)
