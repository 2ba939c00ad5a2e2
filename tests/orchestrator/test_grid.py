"""Flower's strategies on our grid come to what they come to on a plain loop, bit for bit, and the record of it audits."""

import dataclasses
import logging
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
from flwr import app
from flwr.serverapp import strategy

from benchmarks import flower_loop
from client import apps, brief, records
from client import errors as client_errors
from exchange import cid, places
from ledger import statements
from orchestrator import errors, folder, grid, gridaudit, harvest, journal, subject
from tests import bundles

CLIENT = "tests/apps/linear.py:app"
STRATEGIES: dict[str, Callable[[], strategy.Strategy]] = {
    "FedAvg": strategy.FedAvg,
    "FedAdam": strategy.FedAdam,
    "FedProx": lambda: strategy.FedProx(proximal_mu=0.1),
    "Krum": lambda: strategy.Krum(num_malicious_nodes=2),
    "FedTrimmedAvg": strategy.FedTrimmedAvg,
    "DP": lambda: strategy.DifferentialPrivacyServerSideFixedClipping(strategy.FedAvg(), 0.001, 5.0, 6),
}
NODES = 6

logging.getLogger("flwr").setLevel(logging.ERROR)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps are named from the root of the repository."""
    monkeypatch.chdir(Path(__file__).parent.parent.parent)


def _network() -> app.ArrayRecord:
    weight, bias = np.full((3, 12), 0.01, dtype=np.float32), np.zeros(3, dtype=np.float32)
    return app.ArrayRecord({"weight": app.Array(weight), "bias": app.Array(bias)})


def _led(over: object, made: strategy.Strategy, rounds: int = 3, **config: object) -> strategy.Result:
    random.seed(3)
    np.random.seed(3)
    told = app.ConfigRecord({"lr": 0.5, **config})
    return made.start(grid=over, initial_arrays=_network(), train_config=told, num_rounds=rounds)


def _loop() -> flower_loop.LoopGrid:
    return flower_loop.LoopGrid(apps.load(CLIENT, apps.digest(apps.find(CLIENT))), NODES)


def _audited(root: Path) -> gridaudit.Report:
    return gridaudit.GridAudit(folder.RunFolder(root=root), lambda *_: None).audit()


def _bytes(result: strategy.Result) -> bytes:
    return records.encode(app.RecordDict({"arrays": result.arrays}))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_comes_to_the_same_bits_sealed_and_recorded_as_in_a_plain_loop(name: str, tmp_path: Path) -> None:
    """Unmodified strategy, unmodified ClientApp: the same arrays and accuracy, and an audit finds no difference."""
    plain = _led(_loop(), STRATEGIES[name]())
    with grid.FolkmootGrid(CLIENT, nodes=NODES, folder=tmp_path, server=name) as ours:
        found = _led(ours, STRATEGIES[name]())
        ours.finish(found.arrays)
    assert _bytes(found) == _bytes(plain)
    assert dict(found.evaluate_metrics_clientapp) == dict(plain.evaluate_metrics_clientapp)
    assert dict(found.train_metrics_clientapp[3])["seen"] == 3.0
    report = _audited(tmp_path)
    assert (report.phases, report.opened, report.checked["replies"], report.final) == (6, 6, 6 * NODES, True)
    assert report.unsigned == 0
    last = brief.decode(places.open(folder.RunFolder(root=tmp_path).place).get(report.checkpoint, limit=10**6))
    assert bytes(last.contents[0]) == _bytes(found)


@pytest.mark.usefixtures("here")
def test_a_model_is_stored_once_a_phase_and_a_reply_is_nowhere_in_clear(tmp_path: Path) -> None:
    """Six nodes that are told the same: one content in the brief. No block holds the bytes of a reply's arrays."""
    with grid.FolkmootGrid(CLIENT, nodes=NODES, folder=tmp_path, disclosure="none") as ours:
        _led(ours, strategy.FedAvg(), rounds=1)
    store = places.open(folder.RunFolder(root=tmp_path).place)
    with journal.published(folder.RunFolder(root=tmp_path).ledger) as log:
        said = [statements.parse(entry.envelope.payload) for entry in log.entries()]
    first = next(each for each in said if isinstance(each, statements.RoundOpen))
    told = brief.decode(store.get(first.parent, limit=10**6))
    assert len(told.messages) == NODES
    assert len(told.contents) == 1
    assert not [each for each in said if isinstance(each, statements.RoundDisclose)]
    for offer in (each for each in said if isinstance(each, statements.UpdateOffer)):
        sealed = store.get(offer.ciphertext, limit=10**6)
        assert records.MAGIC not in sealed
        assert b"NUMPY" not in sealed
    report = _audited(tmp_path)
    assert (report.phases, report.opened, report.final) == (2, 0, False)


@pytest.mark.usefixtures("here")
def test_a_client_that_fails_is_one_reply_less_and_named(tmp_path: Path) -> None:
    """Its failure is Flower's error reply to the strategy, and a decline on the ledger; the others' average goes on."""
    with grid.FolkmootGrid(CLIENT, nodes=NODES, folder=tmp_path) as ours:
        found = _led(ours, strategy.FedAvg(), rounds=2, failing=1)
    assert _bytes(found) == _bytes(_led(_loop(), strategy.FedAvg(), rounds=2, failing=1))
    assert _audited(tmp_path).rejected == {"declined": 2}


@pytest.mark.usefixtures("here")
def test_without_a_folder_it_comes_to_the_same_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bare grid is the recorded one without its record, also for an app that draws at random."""
    with grid.FolkmootGrid(CLIENT, nodes=NODES) as bare:
        first = _led(bare, strategy.FedAvg(fraction_train=0.5), drawing=True)
    with grid.FolkmootGrid(CLIENT, nodes=NODES, folder=tmp_path) as ours:
        second = _led(ours, strategy.FedAvg(fraction_train=0.5), drawing=True)
    assert _bytes(first) == _bytes(second)


@pytest.mark.usefixtures("here")
def test_two_messages_to_one_node_are_two_phases() -> None:
    """A custom ServerApp may ask a node twice at once; each message has its own reply."""
    with grid.FolkmootGrid(CLIENT, nodes=2) as ours:
        node = next(iter(ours.get_node_ids()))
        content = app.RecordDict({"arrays": _network(), "config": app.ConfigRecord({"lr": 0.5})})
        asked = [app.Message(content, node, "train"), app.Message(content, node, "train")]
        ids = list(ours.push_messages(asked))
        replies = {each.metadata.reply_to_message_id: each for each in ours.pull_messages(ids)}
        assert [replies[each].content["metrics"]["seen"] for each in ids] == [1, 2]
        assert list(ours.pull_messages(ids)) == []


@pytest.mark.usefixtures("here")
def test_a_folder_is_of_one_run_and_an_audit_finds_what_was_changed(tmp_path: Path) -> None:
    """A strategy cannot resume, so a folder that holds a run is refused; a brief that is gone, or a reply, is a difference."""
    with grid.FolkmootGrid(CLIENT, nodes=NODES, folder=tmp_path) as ours:
        _led(ours, strategy.FedAvg(), rounds=1)
    with pytest.raises(errors.FolderError, match="holds a run already"):
        grid.FolkmootGrid(CLIENT, nodes=NODES, folder=tmp_path)
    with journal.published(folder.RunFolder(root=tmp_path).ledger) as log:
        said = [statements.parse(entry.envelope.payload) for entry in log.entries()]
    offer = next(each for each in said if isinstance(each, statements.UpdateOffer))
    sealed = places.open(folder.RunFolder(root=tmp_path).place).get(offer.ciphertext, limit=10**6)
    (pack,) = (each for each in (tmp_path / "blocks" / "packs").iterdir() if sealed in each.read_bytes())
    whole = pack.read_bytes()
    for changed in (whole.replace(sealed, bytes(len(sealed))), whole[: whole.index(sealed)]):
        pack.write_bytes(changed)
        with pytest.raises(errors.AuditError, match="other replies open than were accepted"):
            _audited(tmp_path)
    pack.write_bytes(whole)
    assert _audited(tmp_path).opened == 2


@pytest.mark.usefixtures("here")
def test_a_bundle_of_it_audits_to_the_same_and_holds_nothing_else(tmp_path: Path) -> None:
    """One file, which a stranger audits; a block in it that the run did not need is found."""
    root, path = tmp_path / "run", tmp_path / "run.car"
    with grid.FolkmootGrid(CLIENT, nodes=NODES, folder=root) as ours:
        ours.finish(_led(ours, strategy.FedAvg()).arrays)
    exported = subject.Exported(place=folder.RunFolder(root=root), path=path, replace=False, told=lambda _: None)
    bundled = subject.Bundled(path=path, told=lambda _: None)
    reports = [gridaudit.GridAudit(place, lambda *_: None).audit() for place in (exported, bundled)]
    assert subject.led(bundled)
    assert dataclasses.replace(reports[0], seconds=0.0) == dataclasses.replace(reports[1], seconds=0.0)
    data, stray = path.read_bytes(), b"stray"
    held = bundles.blocks(data) | {bundles.named(cid.RAW, stray): stray}
    path.write_bytes(bundles.pack(held, bundles.root(data)))
    with pytest.raises(errors.AuditError, match="belongs to nothing"):
        gridaudit.GridAudit(bundled, lambda *_: None).audit()


@pytest.mark.usefixtures("here")
def test_a_commit_that_names_another_harvest_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: a coordinator says on the ledger that its strategy was given other replies than were sealed."""
    honest = harvest.Harvest.encode
    with monkeypatch.context() as patched, grid.FolkmootGrid(CLIENT, nodes=NODES, folder=tmp_path) as ours:
        patched.setattr(
            harvest.Harvest, "encode", lambda told: honest(dataclasses.replace(told, ciphertexts={"node-00": ""}))
        )
        _led(ours, strategy.FedAvg(), rounds=1)
    with pytest.raises(errors.AuditError, match="the strategy was given something else"):
        _audited(tmp_path)


KILLED = """
import os, signal
from flwr import app
from flwr.serverapp import strategy
from orchestrator import grid
from tests.orchestrator import test_grid

class Killed(strategy.FedAvg):
    def aggregate_train(self, server_round, replies):
        if server_round == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().aggregate_train(server_round, replies)

with grid.FolkmootGrid(test_grid.CLIENT, nodes=test_grid.NODES, folder={folder!r}) as ours:
    test_grid._led(ours, Killed())
"""


@pytest.mark.usefixtures("here")
def test_a_run_that_was_killed_audits_to_where_it_was(tmp_path: Path) -> None:
    """SIGKILL between two phases: a published log of the phases committed, and the folder says that it cannot go on."""
    ended = subprocess.run([sys.executable, "-c", KILLED.format(folder=str(tmp_path))], check=False)
    assert ended.returncode == -signal.SIGKILL
    report = _audited(tmp_path)
    assert (report.phases, report.opened, report.final) == (2, 2, False)
    with pytest.raises(errors.FolderError, match="of 2 phases, and a strategy cannot resume"):
        grid.FolkmootGrid(CLIENT, nodes=NODES, folder=tmp_path)
    assert _audited(tmp_path).head == report.head


@pytest.mark.usefixtures("here")
def test_a_strategy_that_raises_leaves_a_log_that_is_published_to_its_end(tmp_path: Path) -> None:
    """An exception between a phase and the next: what was asked and replied is committed, under a signed checkpoint."""

    class Broken(strategy.FedAvg):
        def aggregate_train(self, server_round, replies):
            raise ZeroDivisionError

    with (
        pytest.raises(ZeroDivisionError),
        grid.FolkmootGrid(CLIENT, nodes=NODES, folder=tmp_path) as ours,
    ):
        _led(ours, Broken())
    report = _audited(tmp_path)
    assert (report.phases, report.opened, report.unsigned, report.final) == (1, 1, 0, False)


@pytest.mark.ray
@pytest.mark.usefixtures("here")
def test_on_ray_it_comes_to_the_same_bits(tmp_path: Path) -> None:
    """Two processes play the nodes, an app keeps its state and draws at random: the arrays of one process, and an audit."""
    with grid.FolkmootGrid(CLIENT, nodes=NODES, folder=tmp_path, workers=2) as ours:
        found = _led(ours, strategy.FedAvg(), rounds=2, drawing=True)
    with grid.FolkmootGrid(CLIENT, nodes=NODES) as bare:
        assert _bytes(found) == _bytes(_led(bare, strategy.FedAvg(), rounds=2, drawing=True))
    assert _audited(tmp_path).opened == 4


def test_a_reply_belongs_to_one_phase_and_sender() -> None:
    """Attack: a fellow reader passes a reply on as another's; the context inside the seal is the sender's."""
    sealed = bytes(32) + b"reply"
    assert bytes(records.behind(sealed, bytes(32))) == b"reply"
    with pytest.raises(client_errors.RecordsError, match="a reply for context 00"):
        records.behind(sealed, b"\x01" * 32)
