"""Runs of each outer optimizer: audited, resumed, and with a state that is damaged, lost or made up."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors

from client import checkpoint, plan, training
from exchange import errors as exchange_errors
from ledger import dsse, statements
from orchestrator import errors, findings, folder, infer, inprocess, journal, replay, settlement
from tests import federation

STATEFUL = [name for name, read in plan.OPTIMIZERS.items() if read]
FIVE = ("rounds=5", "task.hidden=8")


def audit(root: Path) -> findings.Report:
    return replay.Replay(folder.RunFolder(root=root), lambda _number, _total: None).audit()


def states(root: Path) -> list[Path]:
    """The state files of a run's checkpoints, in the order of its rounds."""
    with journal.published(root / "ledger.sqlite") as record:
        said = [statements.parse(entry.envelope.payload) for entry in record.entries()]
    found = []
    for commit in (each for each in said if isinstance(each, statements.RoundCommit)):
        (path,) = root.glob(f"blocks/??/{commit.checkpoint}")
        with safetensors.safe_open(path, framework="numpy") as file:
            found += root.glob(f"blocks/??/{file.metadata()['outer']}")
    return found


@pytest.mark.parametrize("disclosure", ["public", "none"])
@pytest.mark.parametrize("name", plan.OPTIMIZERS)
def test_a_run_of_each_optimizer_audits(tmp_path: Path, execute: Callable, name: str, disclosure: str) -> None:
    """Five rounds, each checkpoint and state recomputed from the one before, with and without the rounds' identities."""
    came_to = execute(tmp_path / "run", f"outer={name}", f"disclosure={disclosure}", *FIVE)
    report = audit(tmp_path / "run")
    assert report.checkpoint == came_to.checkpoint
    assert (report.rounds, report.recomputed) == (5, 5 if disclosure == "public" else 0)
    assert report.checked.get("states", 0) == (0 if name == "sgd" else 5)


@pytest.mark.parametrize("name", STATEFUL)
def test_an_interrupted_run_ends_at_the_same_checkpoint(tmp_path: Path, execute: Callable, name: str) -> None:
    """Stopped in the third round, resumed from ledger and blocks alone: the same bits, so the same velocity and moments."""
    root, chosen = tmp_path / "run", (f"outer={name}", *FIVE)
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(25), *chosen)
    assert audit(root).checked["states"] == 2
    federation.conduct(root, inprocess.InProcessPool(), *chosen)
    assert audit(root).checkpoint == execute(tmp_path / "undisturbed", *chosen).checkpoint


@pytest.mark.parametrize("disclosure", ["public", "none"])
@pytest.mark.parametrize("number", [0, 4])
def test_a_damaged_or_missing_state_is_named(tmp_path: Path, execute: Callable, disclosure: str, number: int) -> None:
    """The state of any round, the last one too, which no step has used yet."""
    root = tmp_path / "run"
    execute(root, "outer=adam", f"disclosure={disclosure}", *FIVE)
    path = states(root)[number]
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(errors.AuditError, match=f"{path.name} does not hash to its name"):
        audit(root)
    path.unlink()
    with pytest.raises(errors.AuditError, match=f"{path.name} is not in"):
        audit(root)


def test_a_run_without_its_state_stops_and_names_it(tmp_path: Path) -> None:
    """A coordinator whose state file is gone rejects nobody and commits nothing: it stops, and once restored goes on."""
    root, chosen = tmp_path / "run", ("outer=nesterov", *FIVE)
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(25), *chosen)
    path = states(root)[-1]
    kept = path.rename(tmp_path / "kept")
    with pytest.raises(exchange_errors.BlockMissingError, match=path.name):
        federation.conduct(root, inprocess.InProcessPool(), *chosen)
    kept.rename(path)
    federation.conduct(root, inprocess.InProcessPool(), *chosen)
    assert audit(root).recomputed == 5


@pytest.mark.parametrize(
    ("disclosure", "named"),
    [("public", "round 1: commit says checkpoint"), ("none", "the checkpoint is not what its aggregate leads to")],
)
def test_a_state_that_is_made_up_is_named(tmp_path: Path, disclosure: str, named: str) -> None:
    """Right weights beside a velocity of the coordinator's own, well signed: the CIDs of the two hang together."""
    world = federation.Federation(tmp_path, "outer=nesterov", f"disclosure={disclosure}")
    for name in world.names:
        world.contribute(name)
    opened = world.agreed.opening(world.opening)
    offers = world.seal()
    outcome = settlement.settle(world.agreed, opened, offers, str(world.identity), world.start, world.store)
    assert outcome.state_file is not None
    made_up = outcome.state_file[:-8] + bytes(8)
    assert outcome.standing_file is not None
    world.store.put(outcome.standing_file)
    world.store.put(outcome.aggregate_file)
    file = checkpoint.encode(
        outcome.checkpoint.weights,
        world.agreed.specs,
        round_number=1,
        parent=world.start.cid,
        outer=str(world.store.put(made_up)),
    )
    forged = checkpoint.decode(file, str(world.store.put(file)), world.agreed.specs)
    judged = training.Judged(correct=1, total=2, loss=0.5)
    outcome = dataclasses.replace(outcome, checkpoint=forged)
    closing = settlement.closing(outcome, world.agreed, opened, str(world.identity), judged)
    for statement in (closing.commit, closing.credit, closing.disclose):
        if statement is not None:
            world.say(statement)
    world.publish()
    with pytest.raises(errors.AuditError, match=named):
        audit(tmp_path)


def test_a_run_begins_with_no_state(tmp_path: Path) -> None:
    """An initial checkpoint that names one would give the first round a velocity that nobody can recompute."""
    world = federation.Federation(tmp_path, "outer=nesterov")
    start = world.start
    file = checkpoint.encode(start.weights, world.agreed.specs, round_number=0, parent="", outer=start.cid)
    genesis = dataclasses.replace(federation.parsed(world.envelopes[0]), checkpoint=str(world.store.put(file)))
    world.envelopes = [dsse.sign(statements.build(genesis), world.coordinator)]
    world.publish()
    with pytest.raises(errors.AuditError, match=r"initial checkpoint .* says it follows"):
        audit(tmp_path)


def test_inference_reads_the_model_alone(tmp_path: Path, execute: Callable) -> None:
    """Without any state file a model still predicts, and other readers of safetensors find its tensors and no more."""
    root = tmp_path / "run"
    came_to = execute(root, "outer=yogi", *FIVE)
    for path in states(root):
        path.unlink()
    model = infer.load(folder.RunFolder(root=root), None)
    assert len(model.lineage) == 6
    (path,) = root.glob(f"blocks/??/{came_to.checkpoint}")
    with safetensors.safe_open(path, framework="numpy") as file:
        assert list(file.keys()) == sorted(spec.name for spec in model.agreed.specs)
