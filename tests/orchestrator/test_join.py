"""`folkmoot join` before it speaks to anybody: what it takes on the command line, and whose folder it uses."""

import contextlib
import http.server
import resource
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click import testing

from client import errors as client_errors
from client import home, invitation, spending
from ledger import errors as ledger_errors
from ledger import keys, log
from orchestrator import admittance, cli, errors
from tests import federation, service

RUN = "ab" * 32
INVITED = invitation.Invitation(run=RUN, name="alice", seed=bytes(32))
URL = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--data says what you train on"),
        (("--data", "x", "--accept", "--policy", "p.yaml"), "exclude each other"),
        (("--data", "x"), "no folder here"),
        (("--data", "x", "--invite", "missing.txt"), "there is no file missing.txt"),
        (("--data", "x", "--invite", "folkmoot-invite-1.nonsense"), "no invitation"),
        (("--data", "x", "--name", "alice"), "belong together"),
        (("--data", "x", "--name", "Alice", "--run", RUN), "a name: a-z"),
        (("--data", "x", "--name", "alice", "--run", "ff"), "64 lower-case hex digits"),
        (("--data", "x", "--invite", INVITED.text, "--name", "alice", "--run", RUN), "an invitation says name and run"),
    ],
)
def test_a_mistake_in_the_command(here: Path, arguments: tuple[str, ...], said: str) -> None:
    """It is told in one sentence that says what to do, with exit code 2, and nothing is left behind."""
    (here / "p.yaml").touch()
    result = testing.CliRunner().invoke(cli.cli, ["join", URL, *arguments])
    assert result.exit_code == 2
    assert said in result.output
    assert INVITED.text not in result.output
    assert [each.name for each in here.iterdir()] == ["p.yaml"]


def test_a_folder_is_made_for_who_is_invited(here: Path) -> None:
    """The invitation is kept, for its owner alone, and the same folder is found again without it (attack 48)."""
    place, whose = admittance.found(URL, admittance.Claim(invite=INVITED.text))
    assert place.root == Path("folkmoot-alice")
    assert place.invited_by() == INVITED
    assert stat.S_IMODE((place.root / "invitation").stat().st_mode) == 0o600
    assert stat.S_IMODE(place.root.stat().st_mode) == 0o700
    key = place.key()
    assert stat.S_IMODE(place.key_path.stat().st_mode) == 0o600
    again, moved = admittance.found("https://elsewhere.example", admittance.Claim())
    assert again == place
    assert again.key().public == key.public
    assert moved == home.Membership(run=RUN, name="alice", url="https://elsewhere.example")
    assert whose.url == URL
    place.settled()
    assert place.invited_by() is None


def test_a_registered_key_is_taken_over(here: Path) -> None:
    """A key that is expected under a name becomes the folder's; another one does not take its place."""
    paths = [here / "one", here / "two"]
    for path in paths:
        keys.SigningKey.generate().save(path)
    claim = admittance.Claim(name="alice", run=RUN, key=paths[0])
    place, _ = admittance.found(URL, claim)
    assert place.key().public == keys.SigningKey.load(paths[0]).public
    with pytest.raises(client_errors.HomeError, match="another key"):
        admittance.found(URL, admittance.Claim(name="alice", run=RUN, key=paths[1]))


def test_a_folder_belongs_to_one_member(here: Path) -> None:
    """Another member's folder is refused, a folder of several is asked for by name, and one process holds it at a time."""
    admittance.found(URL, admittance.Claim(invite=INVITED.text))
    other = invitation.Invitation(run=RUN, name="bob", seed=bytes(32))
    with pytest.raises(client_errors.HomeError, match="is the folder of alice"):
        admittance.found(URL, admittance.Claim(invite=other.text, folder=Path("folkmoot-alice")))
    place, _ = admittance.found(URL, admittance.Claim(invite=other.text))
    with pytest.raises(errors.ConfigError, match="2 holders' folders"):
        admittance.found(URL, admittance.Claim())
    with pytest.raises(errors.ConfigError, match="nobody's yet"):
        admittance.found(URL, admittance.Claim(folder=here))
    with place.held(), pytest.raises(client_errors.HomeError, match="another process holds"), place.held():
        pass
    (place.root / "member.json").write_text("{}")
    with pytest.raises(client_errors.HomeError, match="expected a name, a run and a URL"):
        place.membership()


NAME = "holder-00"


class Shown:
    """A run that is served to readers over HTTP: its tail, which ends, and 404 to all else.

    Attributes:
        methods: that it was asked with.
    """

    def __init__(self, folder: Path) -> None:
        self.world = federation.Federation(folder)
        served = service.of(self.world.envelopes, self.world.coordinator, folder)
        lines = [b"id: %d\nevent: entry\ndata: %s\n\n" % each for each in enumerate(served.leaves)]
        note = b"".join(b"data: %s\n" % line for line in served.note.splitlines())
        body = b"".join([*lines, b"event: checkpoint\n", note, b"\n"])
        self.methods: list[str] = []
        shown = self

        class Asked(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                shown.methods.append(self.command)
                self.send_response(200 if self.path.startswith("/tail") else 404)
                self.end_headers()
                self.wfile.write(body if self.path.startswith("/tail") else b"")

            do_GET = do_POST = do_PUT = answer  # noqa: N815  the names of http.server

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Asked)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.world.keys[NAME].save(folder / "holder-key")
        self._whose = ("--name", NAME, "--run", self.world.agreed.run, "--key", str(folder / "holder-key"))

    def join(self, *options: str) -> testing.Result:
        url = f"http://127.0.0.1:{self._server.server_port}"
        return testing.CliRunner().invoke(cli.cli, ["join", url, *self._whose, "--data", "shard:0", *options])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def shown(here: Path) -> Iterator[Shown]:
    made = Shown(here / "run")
    yield made
    made.close()


def test_accept_keeps_a_policy_that_is_there(here: Path, shown: Shown) -> None:
    """Consent that the holder made narrower is not made wider again by `--accept`: it is used, and that is said."""
    kept = here / f"folkmoot-{NAME}" / "policy.yaml"
    first = shown.join("--accept", "--explain")
    assert first.exit_code == 0
    assert "there is no policy yet" in first.output
    assert not kept.exists()
    kept.write_text(shown.world.consent(disclosures=frozenset()).to_yaml())
    strict = kept.read_bytes()
    said = f"--accept changes nothing in folkmoot-{NAME}/policy.yaml"
    second = shown.join("--accept", "--explain")
    assert second.exit_code == 1
    assert said in second.output
    assert "there is no policy yet" not in second.output
    assert "REFUSES  disclosures" in second.output
    third = shown.join("--accept")
    assert third.exit_code == 1
    assert said in third.output
    assert "policy, disclosures" in third.output
    assert kept.read_bytes() == strict
    assert set(shown.methods) == {"GET"}


@contextlib.contextmanager
def full() -> Iterator[None]:
    """No file takes a byte more, as on a full disk: the system gives a write another code, and as little of a name."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_is_named(here: Path) -> None:
    """Which file of which folder could not be written is in the sentence that the holder gets (attack 40)."""
    with full():
        result = testing.CliRunner().invoke(cli.cli, ["join", URL, "--invite", INVITED.text, "--data", "shard:0"])
    assert result.exit_code == 1
    assert result.output == "folkmoot: File too large: folkmoot-alice/member.json\n"
    place = home.Home(root=here)
    with full(), pytest.raises(OSError, match=str(here / "refusals.jsonl")):
        place.refused({"code": "x"})
    spent = spending.Spending(place.spending)
    with full(), pytest.raises(OSError, match=str(place.spending)):
        spent.charge(run=RUN, number=1, size=1, noise=0.0, admit=lambda _: None)
    with log.Log.open(here / "ledger.sqlite", origin="folkmoot.test/log") as record:
        shown = federation.Federation(here / "run")
        with full(), pytest.raises(ledger_errors.LogError, match=f"database {here / 'ledger.sqlite'} refused"):
            record.append(shown.envelopes, head=record.head)


def test_help_is_enough() -> None:
    """`--help` names every option with what it is for, and shows commands to copy."""
    result = testing.CliRunner().invoke(cli.cli, ["join", "--help"])
    assert result.exit_code == 0
    for word in ("--invite", "--data", "--policy", "--accept", "--explain", "Exit codes", "folkmoot join https://"):
        assert word in result.output
