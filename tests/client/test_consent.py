"""Consent on a real round: for each clause a holder that refuses it, and one that takes part."""

import dataclasses
import datetime as dt
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from client import accountant, checkpoint, consent, errors, holder, policy, spending
from ledger import statements
from tests import federation

NAME = "holder-01"
NOISE = ("privacy.clip_norm=1.0", "privacy.noise_multiplier=4.0")
DAY = dt.timedelta(days=1)
NOW = dt.datetime.now(dt.UTC).date()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> federation.Federation:
    return federation.Federation(tmp_path_factory.mktemp("quiet"))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> federation.Federation:
    return federation.Federation(tmp_path_factory.mktemp("noisy"), *NOISE)


@pytest.fixture
def spent(tmp_path: Path) -> spending.Spending:
    return spending.Spending(tmp_path / "spending.jsonl")


def member(
    world: federation.Federation, folder: Path, allowed: policy.Policy, *, kind: type[holder.Holder] = holder.Holder
) -> holder.Holder:
    """A holder of the world with a folder of its own."""
    return kind(
        name=NAME,
        key=world.keys[NAME],
        consent=allowed,
        spent=spending.Spending(folder / "spending.jsonl"),
        examples=world.agreed.task.shard(1),
        agreed=world.agreed,
        store=world.store,
        outbox_path=folder / "offer.json",
        momentum_path=folder / "momentum.safetensors",
        model=world.model,
    )


def occasion(world: federation.Federation, spent: spending.Spending) -> consent.Occasion:
    return consent.Occasion.of(world.agreed, world.agreed.opening(world.opening), spent.so_far())


def blocks_in(world: federation.Federation) -> int:
    return sum(1 for path in (world.folder / "blocks").rglob("*") if path.is_file())


def earlier(spent: spending.Spending, **changes: Any) -> None:
    """An update that left in another run."""
    spent.charge(**{"run": "ab" * 32, "number": 1, "size": 500, "noise": 4.0, "admit": lambda _: None, **changes})


CLAUSES = [
    # clause, what refuses, what admits, and what left before
    ("coordinators", {"coordinators": frozenset({"SHA256:" + "A" * 43})}, {}, 0),
    ("tasks", {"tasks": frozenset({"0" * 64})}, {}, 0),
    ("environments", {"environments": frozenset({"0" * 64})}, {}, 0),
    ("disclosures", {"disclosures": frozenset({"none"})}, {"disclosures": frozenset({"none", "public"})}, 0),
    ("recipients", {"recipients": 0}, {"recipients": 1}, 0),
    ("rounds", {"rounds": 1}, {"rounds": 2}, 1),
    ("rounds_per_day", {"rounds_per_day": 1}, {"rounds_per_day": 2}, 1),
    ("expires", {"expires": NOW - DAY}, {"expires": NOW + DAY}, 0),
    ("clip_norm", {"clip_norm": 0.999}, {"clip_norm": 1.0}, 0),
    (
        "privacy",
        {"privacy": policy.Budget(epsilon=3.3, delta=1e-6)},
        {"privacy": policy.Budget(epsilon=3.5, delta=1e-6)},
        1,
    ),
]


@pytest.mark.parametrize(("clause", "refusing", "admitting", "before"), CLAUSES, ids=[row[0] for row in CLAUSES])
def test_a_clause_refuses_and_admits(
    noisy: federation.Federation,
    tmp_path: Path,
    spent: spending.Spending,
    clause: str,
    refusing: dict[str, Any],
    admitting: dict[str, Any],
    before: int,
) -> None:
    """By this clause alone: refused, nothing was trained, spent or stored; admitted, it is an offer (attack 31)."""
    for number in range(before):
        earlier(spent, number=number + 1)
    wide = dataclasses.replace(
        noisy.consent(), rounds=9, rounds_per_day=9, privacy=policy.Budget(epsilon=math.inf, delta=1e-6)
    )
    entries, blocks = spent.so_far().entries, blocks_in(noisy)
    strict = member(noisy, tmp_path, dataclasses.replace(wide, **refusing))
    with pytest.raises(errors.RefusalError) as refusal:
        strict.contribute(noisy.opening, noisy.start)
    assert refusal.value.code == f"policy-{clause.replace('_', '-')}"
    assert (spent.so_far().entries, blocks_in(noisy)) == (entries, blocks)
    assert not (tmp_path / "offer.json").exists()
    verdicts = consent.explain(dataclasses.replace(wide, **refusing), occasion(noisy, spent))
    assert [each.clause for each in verdicts if not each.admitted] == [clause]
    assert str(refusal.value) in [each.sentence for each in verdicts]

    willing = member(noisy, tmp_path, dataclasses.replace(wide, **admitting))
    offer = statements.parse(willing.contribute(noisy.opening, noisy.start).offer.payload)
    assert isinstance(offer, statements.UpdateOffer)
    assert len(spent.so_far().entries) == before + 1


def test_the_bytes_out_are_those_that_leave(
    world: federation.Federation, tmp_path: Path, spent: spending.Spending
) -> None:
    """The clause counts what was spent before and the sealed update, to the byte, before it is sealed."""
    earlier(spent)
    exact = 500 + occasion(world, spent).size
    wide = world.consent(rounds=9, rounds_per_day=9)
    with pytest.raises(errors.RefusalError) as refusal:
        member(world, tmp_path, dataclasses.replace(wide, max_bytes_out=exact - 1)).contribute(
            world.opening, world.start
        )
    assert refusal.value.code == "policy-max-bytes-out"
    allowed = member(world, tmp_path, dataclasses.replace(wide, max_bytes_out=exact))
    offer = statements.parse(allowed.contribute(world.opening, world.start).offer.payload)
    assert isinstance(offer, statements.UpdateOffer)
    assert spent.so_far().bytes_out == exact == 500 + offer.size


def test_every_clause_is_judged(world: federation.Federation, spent: spending.Spending) -> None:
    """Each clause of a policy has a verdict, in the file's order, and the denying policy is refused by all but none."""
    judged = [each.clause for each in consent.explain(policy.Policy(), occasion(world, spent))]
    assert judged == [name for name in policy.KINDS if name != "announce_refusals"]
    refused = consent.explain(policy.Policy(), occasion(world, spent))
    assert not any(each.admitted for each in refused)
    assert set(judged) == {row[0] for row in CLAUSES} | {"max_bytes_out"}


def test_the_narrowest_policy_is_the_run(noisy: federation.Federation, spent: spending.Spending) -> None:
    """It admits each of the plan's rounds, by the file too, and no round more."""
    rounds, opening = noisy.agreed.plan.rounds, noisy.agreed.opening(noisy.opening)
    narrow = policy.Policy.parse(policy.Policy.narrowest(noisy.agreed).to_yaml().encode())
    for number in range(1, rounds + 2):
        this = dataclasses.replace(opening, round=number)
        asked = consent.Occasion.of(noisy.agreed, this, spent.so_far())
        refused = {each.clause for each in consent.explain(narrow, asked) if not each.admitted}
        assert refused == ({"rounds", "rounds_per_day", "privacy"} if number > rounds else set())
        spent.charge(run=this.run, number=number, size=asked.size, noise=4.0, admit=lambda _: None)


def test_epsilon_is_spent_round_by_round(noisy: federation.Federation, spent: spending.Spending) -> None:
    """A budget for three releases admits three and refuses the fourth, whichever run it is of; the sentence says the figure."""
    budget = policy.Budget(epsilon=accountant.epsilon([4.0] * 3, 1e-5), delta=1e-5)
    allowed = noisy.consent(privacy=budget, rounds=9, rounds_per_day=9, max_bytes_out=10**9)
    for number in range(3):
        consent.check(allowed, occasion(noisy, spent))
        earlier(spent, number=number + 1)
    with pytest.raises(errors.RefusalError, match=r"epsilon 4\.37718 .* delta 1e-05") as refusal:
        consent.check(allowed, occasion(noisy, spent))
    assert refusal.value.code == "policy-privacy"


def test_a_budget_refuses_a_plan_without_noise(world: federation.Federation, spent: spending.Spending) -> None:
    """Without noise epsilon is infinite, however much the budget allows."""
    allowed = world.consent(privacy=policy.Budget(epsilon=1e300, delta=1e-6))
    with pytest.raises(errors.RefusalError) as refusal:
        consent.check(allowed, occasion(world, spent))
    assert refusal.value.code == "policy-privacy"


def test_an_offer_that_is_announced_again_spends_nothing(
    noisy: federation.Federation, tmp_path: Path, spent: spending.Spending
) -> None:
    """After a restart the same bytes are offered under the same entry, also where the policy has room for one release only."""
    narrow = noisy.consent(rounds=1, rounds_per_day=1, privacy=policy.Budget(epsilon=2.3, delta=1e-6))
    first = member(noisy, tmp_path, narrow).contribute(noisy.opening, noisy.start)
    entries = spent.so_far().entries
    for _ in range(3):
        assert member(noisy, tmp_path, narrow).contribute(noisy.opening, noisy.start).offer == first.offer
    assert spent.so_far().entries == entries


class Dying(holder.Holder):
    """Is killed between spending and release; trains nothing, to be quick about it."""

    def _moved(
        self, _opening: statements.RoundOpen, start: checkpoint.Checkpoint, _learned: Any = None
    ) -> torch.Tensor:
        return torch.zeros_like(start.weights)

    def _deposited(self, *_: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_between_spending_and_release(
    noisy: federation.Federation, tmp_path: Path, spent: spending.Spending
) -> None:
    """Kill -9 at the worst moment: it is spent, nothing has left; the round is still one round, its second release is paid."""
    wide = noisy.consent(rounds=1, rounds_per_day=1, privacy=policy.Budget(epsilon=math.inf, delta=1e-6))
    blocks = blocks_in(noisy)
    doomed = os.fork()
    if not doomed:
        try:
            torch.set_num_threads(1)  # those of before did not come along
            member(noisy, tmp_path, wide, kind=Dying).contribute(noisy.opening, noisy.start)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(doomed, 0)[1]) == -signal.SIGKILL
    assert (len(spent.so_far().entries), blocks_in(noisy)) == (1, blocks)
    one = policy.Budget(epsilon=accountant.epsilon([4.0], 1e-6), delta=1e-6)
    with pytest.raises(errors.RefusalError) as refusal:
        member(noisy, tmp_path, dataclasses.replace(wide, privacy=one)).contribute(noisy.opening, noisy.start)
    assert refusal.value.code == "policy-privacy"
    member(noisy, tmp_path, wide).contribute(noisy.opening, noisy.start)
    so_far = spent.so_far()
    assert (len(so_far.rounds), len(so_far.noises)) == (1, 2)


def test_what_another_run_spends_meanwhile_counts(
    world: federation.Federation, tmp_path: Path, spent: spending.Spending
) -> None:
    """Two runs on the same data, one allowance: whoever comes second is refused after training, before anything leaves."""

    class Slow(holder.Holder):
        def _moved(self, *arguments: Any) -> Any:
            earlier(spent)
            return super()._moved(*arguments)

    blocks = blocks_in(world)
    with pytest.raises(errors.RefusalError) as refusal:
        member(world, tmp_path, world.consent(rounds=1), kind=Slow).contribute(world.opening, world.start)
    assert refusal.value.code == "policy-rounds"
    assert (blocks_in(world), len(spent.so_far().entries)) == (blocks, 1)


def test_what_leaves_is_noisy(noisy: federation.Federation, tmp_path: Path) -> None:
    """Two holders with the same data and seed send different numbers, both about as long as the noise is."""
    opening, dim = noisy.agreed.opening(noisy.opening), sum(spec.size for spec in noisy.agreed.specs)
    one = member(noisy, tmp_path, noisy.consent())
    moved = one._moved(opening, noisy.start)
    sent = [one._released(moved) for _ in range(2)]
    assert not bool((sent[0] == sent[1]).any())
    for each in sent:
        assert float(each.norm()) == pytest.approx(4.0 * math.sqrt(dim), rel=0.1)


def test_momentum_is_clipped_and_noised_as_it_leaves(tmp_path: Path) -> None:
    """With momentum, what is sent is the noisy clipped momentum; what is kept is neither, and never leaves."""
    world = federation.Federation(tmp_path, "task.update_momentum=0.9", "privacy.clip_norm=0.01", NOISE[1])
    one = member(world, tmp_path, world.consent())
    opening = world.agreed.opening(world.opening)
    kept = one._moved(opening, world.start)
    assert float(kept.norm()) > 0.01
    noise = one._released(kept) - kept * (0.01 / float(kept.norm()))
    assert float(noise.std()) == pytest.approx(0.04, rel=0.1)
    assert bool((one._moved(opening, world.start) == kept).all())
