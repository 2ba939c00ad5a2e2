"""Whole runs whose log lies on a PostgreSQL server."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from ledger import errors as ledger_errors
from orchestrator import config, errors, findings, folder, infer, listener, progress, replay, run
from tests import federation, servers


class Kills:
    """A listener who kills the server after every committed round, and starts it again."""

    def __init__(self, server: servers.Postgres) -> None:
        self._server = server
        self.kills = 0

    def opened(self, number: int, total: int) -> None:
        pass

    def answered(self, reply: object) -> None:
        pass

    def committed(self, report: listener.RoundReport) -> None:
        self._server.kill()
        self._server.start()
        self.kills += 1


def on(url: str) -> tuple[str, str]:
    return "ledger=postgres", f'ledger.url="{url}"'


def conduct(root: Path, url: str, *listeners: listener.Listener) -> None:
    chosen = federation.settings_for(root, *on(url))
    with progress.Progress(Console(quiet=True), chosen.hostile) as show:
        run.execute(chosen, show, listeners)


def audit(root: Path) -> findings.Report:
    return replay.Replay(folder.RunFolder(root=root), lambda _number, _total: None).audit()


def test_a_run_on_a_server_ends_at_the_same_checkpoint(
    pristine: Path, tmp_path: Path, server: servers.Postgres, execute: Callable
) -> None:
    """Its log in PostgreSQL, killed while it runs: the same final checkpoint, audited, resumed and read like any other (38)."""
    root, (url, _) = tmp_path / "runs" / "run", server.url()
    kills = Kills(server)
    conduct(root, url, kills)
    assert kills.kills == 2
    report, expected = audit(root), audit(pristine)
    assert report.checkpoint == expected.checkpoint
    assert report.checked == expected.checked
    assert sorted(path.name for path in root.glob("ledger*")) == ["ledger.url"]
    assert execute(root, *on(url)).entries == expected.checked["entries"]
    assert infer.load(folder.newest(root.parent), None).checkpoint.cid == expected.checkpoint


def test_an_interrupted_run_on_a_server_goes_on(pristine: Path, tmp_path: Path, server: servers.Postgres) -> None:
    """Stopped in the middle, the same command ends at the same bits."""
    root, (url, _) = tmp_path / "run", server.url()
    with pytest.raises(KeyboardInterrupt):
        conduct(root, url, Stops())
    conduct(root, url)
    assert audit(root).checkpoint == audit(pristine).checkpoint


class Stops(Kills):
    """A listener who stops the run after its first round."""

    def __init__(self) -> None:
        pass

    def committed(self, report: listener.RoundReport) -> None:
        raise KeyboardInterrupt


def test_a_run_stays_where_its_log_is(
    finished: Path, tmp_path: Path, server: servers.Postgres, execute: Callable
) -> None:
    """Another place for the log of a folder, or another log in a place, is refused, and nothing is changed."""
    url, _ = server.url()
    with pytest.raises(errors.FolderError, match="its log in"):
        execute(finished, *on(url))
    execute(tmp_path / "other", *on(url))
    with pytest.raises(errors.FolderError, match="its log in"):
        execute(tmp_path / "other")
    with pytest.raises(ledger_errors.CorruptError, match="another log"):
        execute(tmp_path / "third", *on(url))
    assert audit(tmp_path / "other").rounds == 2


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["ledger=postgres", "ledger.url=null"], "ledger.url is missing"),
        (["ledger=postgres", "ledger.url=somewhere"], "no postgresql:// URL"),
        (["ledger=postgres", 'ledger.url="postgresql://me:secret@host/db"'], "holds a password"),
        (["ledger=postgres", 'ledger.url="postgresql://host/db?password=secret"'], "holds a password"),
        (['ledger.url="postgresql:///db"'], "expected ledger=postgres"),
    ],
)
def test_a_place_that_will_not_do_is_refused(tmp_path: Path, overrides: list[str], said: str) -> None:
    """No URL, another scheme, or a secret that would lie in the run folder: said before anything starts."""
    with pytest.raises(errors.ConfigError, match=said) as caught:
        config.compose([f"dir={tmp_path / 'run'}", *overrides])
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "run").exists()
