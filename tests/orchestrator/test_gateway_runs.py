"""Runs whose files are partly in somebody else's block store, served as a trustless gateway (`folkmoot store serve`)."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from exchange import blocks, places
from exchange import errors as exchange_errors
from ledger import statements
from orchestrator import errors, findings, folder, journal, replay
from tests import federation, gateways

UNKNOWN = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


def audit(root: Path) -> findings.Report:
    return replay.Replay(folder.RunFolder(root=root), lambda _number, _total: None).audit()


def said(root: Path) -> list[statements.Predicate]:
    with journal.published(root / "ledger.sqlite") as record:
        return [statements.parse(entry.envelope.payload) for entry in record.entries()]


def nowhere() -> str:
    """A URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_run_is_audited_out_of_another_partys_store(pristine: Path, tmp_path: Path) -> None:
    """35: whoever has the log and not a block asks a gateway, believes nothing it says, and comes to the same."""
    shutil.copytree(pristine, tmp_path / "bare", ignore=shutil.ignore_patterns("blocks"))
    with gateways.served(pristine) as url:
        (tmp_path / "bare" / "store.gateways").write_text(f"{nowhere()}\n{url}\n")
        report = audit(tmp_path / "bare")
    assert (report.checkpoint, report.recomputed, report.on_word) == (audit(pristine).checkpoint, 2, 0)
    assert audit(tmp_path / "bare").recomputed == 2  # what was fetched is here


def test_a_run_goes_on_with_blocks_of_another_partys_store(pristine: Path, tmp_path: Path, execute: Callable) -> None:
    """34: ciphertexts and the initial checkpoint that lie elsewhere are fetched, pinned here, and rejected from nobody."""
    root, other = tmp_path / "run", tmp_path / "other"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(4))
    lent = [each.ciphertext for each in said(root) if isinstance(each, statements.UpdateOffer)]
    (other / "blocks").mkdir(parents=True)
    for name in (*lent, said(root)[0].checkpoint):
        store = blocks.BlockStore(root)
        assert blocks.BlockStore(other).put(store.get(name, limit=2**24)) is not None
        store.unpin(name)
    store.collect(grace=0)
    assert not any(store.has(name) for name in lent)
    with gateways.served(other) as url:
        execute(root, f"store.gateways=[{url}]")
        assert folder.RunFolder(root=root).place.gateways == (url,)
    assert all(store.has(name) for name in lent)
    store.collect(grace=0)
    execute(root)
    assert folder.RunFolder(root=root).place.gateways == ()
    report = audit(root)
    assert (report.checkpoint, report.recomputed, report.on_word) == (audit(pristine).checkpoint, 2, 0)


def test_who_was_down_and_who_answered_no_are_named(tmp_path: Path) -> None:
    """38: a file that nobody has while a gateway is down stops the run as the machine's fault, and says whom to ask."""
    (tmp_path / "empty" / "blocks").mkdir(parents=True)
    with gateways.served(tmp_path / "empty") as url:
        down = nowhere()
        with places.open(places.Place(folder=tmp_path / "own", gateways=(down, url))) as store:
            with pytest.raises(exchange_errors.PeerError) as caught:
                store.get(UNKNOWN, limit=100)
            assert f"{down}: gateway {down}:" in str(caught.value)
            assert f"{url}: block {UNKNOWN} is not at {url}" in str(caught.value)
        with (
            places.open(places.Place(folder=tmp_path / "own", gateways=(url,))) as store,
            pytest.raises(exchange_errors.BlockMissingError, match=f"no peer has it: {url}"),
        ):
            store.get(UNKNOWN, limit=100)


@pytest.mark.parametrize("given", ["127.0.0.1:80", "ftp://a", "http://a?b=c", "'http://me:s3cret@gateway.example'"])
def test_what_is_no_gateway_is_refused_before_anything_starts(tmp_path: Path, given: str) -> None:
    """One sentence, without the password that was in it."""
    with pytest.raises(errors.ConfigError, match=r"store\.gateways") as caught:
        federation.settings_for(tmp_path, f"store.gateways=[{given}]")
    assert "s3cret" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_gateways_stand_beside_nodes(tmp_path: Path) -> None:
    """Both lists may be given; the plan, and so the run's folder, depends on neither."""
    both = federation.settings_for(tmp_path, "store=ipfs", "store.gateways=['https://gateway.example/a b/']")
    assert both.gateways == ("https://gateway.example/a%20b",)
    assert both.api
    assert both.plan == federation.settings_for(tmp_path).plan
