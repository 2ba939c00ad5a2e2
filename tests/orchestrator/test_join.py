"""`folkmoot join` before it speaks to anybody: what it takes on the command line, and whose folder it uses."""

import stat
from pathlib import Path

import pytest
from click import testing

from client import errors as client_errors
from client import home, invitation
from ledger import keys
from orchestrator import admittance, cli, errors

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


def test_help_is_enough() -> None:
    """`--help` names every option with what it is for, and shows commands to copy."""
    result = testing.CliRunner().invoke(cli.cli, ["join", "--help"])
    assert result.exit_code == 0
    for word in ("--invite", "--data", "--policy", "--accept", "--explain", "Exit codes", "folkmoot join https://"):
        assert word in result.output
