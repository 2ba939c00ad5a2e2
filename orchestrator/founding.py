"""The first entries of a run: genesis, then each holder's enrolment and role, appended as one."""

from collections.abc import Mapping
from pathlib import Path

from client import checkpoint, plan, task, training
from client.tasks import catalogue
from exchange import store as stores
from ledger import dsse, keys, statements
from orchestrator import errors

COORDINATOR = "coordinator"


def member_names(holders: int) -> tuple[str, ...]:
    """Names of simulated holders: `holder-00`, `holder-01`, and so on; their order is that of the task's shards."""
    width = max(2, len(str(holders - 1)))
    return tuple(f"holder-{number:0{width}d}" for number in range(holders))


def found(
    agreed: plan.Plan,
    coordinator: keys.SigningKey,
    holders: Mapping[str, keys.SigningKey],
    store: stores.Store,
) -> list[dsse.Envelope]:
    """Signed statements that begin a run; the initial checkpoint is put in `store` first.

    Args:
        agreed: the plan, which the genesis makes unchangeable.
        coordinator: key of the coordinator.
        holders: keys of the members; each signs its own enrolment, which proves that it holds the key.
        store: for the initial checkpoint.
    """
    made = catalogue.load(agreed.task, seed=agreed.seed)
    weights = training.initial(made, seed=agreed.seed)
    file = checkpoint.encode(weights, task.specs(made.model()), round_number=0, parent="")
    genesis = statements.Genesis(
        author=COORDINATOR,
        plan=agreed.to_record(),
        key=str(coordinator.public),
        checkpoint=str(store.put(file)),
    )
    return enrolled(dsse.sign(statements.build(genesis), coordinator), coordinator, holders)


def enrolled(
    genesis: dsse.Envelope, coordinator: keys.SigningKey, holders: Mapping[str, keys.SigningKey]
) -> list[dsse.Envelope]:
    """A signed genesis, then each holder's enrolment and role."""
    envelopes, run = [genesis], genesis.eid
    for name, key in holders.items():
        enrol = statements.MemberEnrol(author=name, run=run, key=str(key.public))
        envelopes.append(dsse.sign(statements.build(enrol), key))
    for name in holders:
        role = statements.MemberRole(author=COORDINATOR, run=run, member=name, role="holder")
        envelopes.append(dsse.sign(statements.build(role), coordinator))
    return envelopes


def require_same(ours: plan.Plan, theirs: plan.Plan, root: Path) -> None:
    """Nothing, if the run in the folder `root` has our plan.

    Raises:
        FolderError: it has another one, `theirs`; the message names what differs.
    """
    here, there = ours.to_record(), theirs.to_record()
    differing = sorted(key for key in here if here[key] != there[key])
    if differing:
        message = f"{root} holds a run with another plan (it differs in {', '.join(differing)})"
        raise errors.FolderError(f"{message}: choose another folder with dir=NEW, or repeat its configuration")
