"""Whole runs whose files are in IPFS nodes too."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from exchange import ipfs as stores
from exchange import places
from ledger import statements
from orchestrator import errors, findings, folder, infer, journal, progress, replay, run
from tests import federation, nodes
from tests.exchange import rogue


class Watches:
    """A listener that does something at the first answer of a round."""

    def __init__(self, act: Callable[[int], None]) -> None:
        self._act = act
        self._round = self._acted = 0

    def opened(self, number: int, total: int) -> None:
        self._round = number

    def answered(self, reply: object) -> None:
        if self._acted < self._round:
            self._acted = self._round
            self._act(self._round)

    def committed(self, report: object) -> None:
        pass


def conduct(root: Path, *api: str, act: Callable[[int], None] = lambda _round: None) -> None:
    chosen = federation.settings_for(root, "store=ipfs", f"store.api=[{','.join(api)}]")
    with progress.Progress(Console(quiet=True), chosen.hostile) as show:
        run.execute(chosen, show, [Watches(act)])


def audit(root: Path) -> findings.Report:
    return replay.Replay(folder.RunFolder(root=root), lambda _number, _total: None).audit()


def named(root: Path) -> set[str]:
    """The CIDs of all that a run's log names."""
    with journal.published(folder.RunFolder(root=root).ledger) as record:
        found = [statements.parse(entry.envelope.payload) for entry in record.entries()]
    kinds = (statements.Genesis, statements.UpdateOffer, statements.RoundCommit)
    said = [each for each in found if isinstance(each, kinds)]
    return {
        value
        for each in said
        for name in ("checkpoint", "ciphertext", "aggregate")
        if (value := getattr(each, name, None))
    }


def elsewhere(root: Path, to: Path, *api: str) -> Path:
    """A copy of a run's folder without one of its files, at home with other nodes."""
    shutil.copytree(root, to, ignore=shutil.ignore_patterns("blocks"))
    (to / "store.api").write_text("".join(f"{each}\n" for each in api))
    return to


def test_a_run_over_two_nodes_ends_at_the_same_checkpoint(
    pristine: Path, tmp_path: Path, ipfs: tuple[nodes.Node, nodes.Node]
) -> None:
    """All that the log names went to the first node; who has nothing but the second audits it all, fetched by bitswap."""
    root = tmp_path / "run"
    conduct(root, *(node.api for node in ipfs))
    expected = audit(pristine).checkpoint
    assert audit(root).checkpoint == expected
    held = {str(name) for name in stores.IpfsStore(ipfs[0].api).pins()}
    other = {str(name) for name in stores.IpfsStore(ipfs[1].api).pins()}
    assert named(root) <= held
    assert not named(root) & other
    bare = elsewhere(root, tmp_path / "bare", ipfs[1].api)
    report = audit(bare)
    assert (report.checkpoint, report.left_out) == (expected, audit(root).left_out)
    model = infer.load(folder.RunFolder(root=elsewhere(root, tmp_path / "other", ipfs[1].api)), None)
    assert model.checkpoint.cid == expected


def test_a_node_that_is_killed_in_a_round_costs_nothing(
    pristine: Path, tmp_path: Path, ipfs: tuple[nodes.Node, nodes.Node], caplog: pytest.LogCaptureFixture
) -> None:
    """38: what follows goes to the other node, the one that is gone is named, and nothing is lost with it."""
    root = tmp_path / "run"

    def act(number: int) -> None:
        if number == 1:
            ipfs[0].kill()

    try:
        conduct(root, *(node.api for node in ipfs), act=act)
        assert audit(root).checkpoint == audit(pristine).checkpoint
        assert f"{ipfs[0].api} is left alone" in caplog.text
        held = {str(name) for name in stores.IpfsStore(ipfs[1].api).pins()}
        local = folder.RunFolder(root=root).place
        with places.open(places.Place(folder=local.folder)) as blocks:
            assert all(blocks.has(name) for name in named(root))
        assert audit(root).checkpoint in held
    finally:
        ipfs[0].start()


def test_a_node_that_was_away_is_given_what_it_is_owed(
    tmp_path: Path, ipfs: tuple[nodes.Node, nodes.Node], caplog: pytest.LogCaptureFixture
) -> None:
    """38: a run whose one node is gone goes on; started again with the node there, it puts there all that the log names."""
    root = tmp_path / "run"
    ipfs[0].kill()
    try:
        conduct(root, ipfs[0].api)
    finally:
        ipfs[0].start()
    assert all(f"{name} is owed to 1 of {ipfs[0].api}" in caplog.text for name in named(root))
    conduct(root, ipfs[0].api)
    assert named(root) <= {str(name) for name in stores.IpfsStore(ipfs[0].api).pins()}
    assert not list((folder.RunFolder(root=root).place.folder / "blocks" / "owed").iterdir())


ROGUES = {
    "hangs": rogue.silent,
    "trickles": rogue.endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", pause=0.05),
    "lies": rogue.answer(b'{"Root":{"Cid":{"/":"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"}}}'),
}


@pytest.mark.parametrize("behaviour", ROGUES.values(), ids=ROGUES.keys())
def test_a_rogue_node_is_dropped_and_named(
    pristine: Path,
    tmp_path: Path,
    ipfs: tuple[nodes.Node, nodes.Node],
    behaviour: rogue.Behaviour,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """30, 31: a run, an audit and a prediction for which it comes first end as they do without it."""
    monkeypatch.setattr(places, "SECONDS", 0.5)
    expected, root = audit(pristine).checkpoint, tmp_path / "run"
    with rogue.serving(behaviour) as peer:
        conduct(root, peer.url, ipfs[1].api)
        assert f"{peer.url} is left alone" in caplog.text
        assert expected in {str(name) for name in stores.IpfsStore(ipfs[1].api).pins()}
        caplog.clear()
        bare = elsewhere(root, tmp_path / "bare", peer.url, ipfs[1].api)
        assert audit(bare).checkpoint == expected
        assert f"{peer.url} is left alone" in caplog.text


def test_without_any_node_the_run_goes_on(pristine: Path, tmp_path: Path) -> None:
    """Nodes that are all gone cost a warning: the folder has everything."""
    conduct(tmp_path / "run", "http://127.0.0.1:9")
    assert audit(tmp_path / "run").checkpoint == audit(pristine).checkpoint


def test_an_audit_with_nothing_at_hand_says_who_does_not_answer(finished: Path, tmp_path: Path) -> None:
    """It does not pass, and does not call the run wrong: it names the node."""
    bare = elsewhere(finished, tmp_path / "bare", "http://127.0.0.1:9")
    with pytest.raises(errors.AuditError, match=r"node http://127\.0\.0\.1:9 did not answer"):
        audit(bare)


def test_nodes_may_change_between_commands(
    finished: Path, ipfs: tuple[nodes.Node, nodes.Node], execute: Callable
) -> None:
    """A run is resumed with others, or with none; what it comes to does not depend on them."""
    where = folder.RunFolder(root=finished)
    execute(finished, "store=ipfs", f"store.api=[{ipfs[0].api}]")
    assert where.place.api == (ipfs[0].api,)
    execute(finished)
    assert where.place.api == ()


@pytest.mark.parametrize(
    "words",
    [
        ("store=ipfs", "store.api=[]"),
        ("store.api=[http://127.0.0.1:5001]",),
        ("store=ipfs", "store.api=[127.0.0.1]"),
        ("store=ipfs", "store.api=['http://me:s3cret@127.0.0.1:5001']"),
    ],
)
def test_a_store_that_cannot_be_meant_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    """47: before anything is made; a password is not repeated."""
    with pytest.raises(errors.ConfigError, match=r"store\.api") as caught:
        federation.settings_for(tmp_path / "run", *words)
    assert "s3cret" not in str(caught.value)
    assert not (tmp_path / "run").exists()
