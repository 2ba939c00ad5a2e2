"""`folkmoot key` as a person and as a script use it."""

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ledger import keys
from orchestrator import cli, replay
from orchestrator.folder import RunFolder
from tests.ledger import programs

PHRASE = {"FOLKMOOT_PASSPHRASE": "a phrase"}


def folkmoot(*arguments: object, said: str | None = None, env: dict[str, str] | None = None) -> Result:
    result = CliRunner(env={"FOLKMOOT_PASSPHRASE": None} | (env or {})).invoke(
        cli.cli, [str(each) for each in arguments], input=said, prog_name="folkmoot"
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_new_key_is_shown_as_it_was_made(tmp_path: Path) -> None:
    """Line and fingerprint, the same when shown again; never the private part; never over another key."""
    path = tmp_path / "key"
    made = folkmoot("key", "new", path)
    key = keys.SigningKey.load(path)
    assert made.exit_code == 0
    assert made.stdout.split("\n")[0] == str(key.public)
    assert key.public.fingerprint in made.stdout
    assert folkmoot("key", "show", path).stdout == made.stdout
    again = folkmoot("key", "new", path)
    assert (again.exit_code, again.stdout) == (1, "")
    assert "never overwritten" in again.stderr


def test_a_passphrase_is_asked_for_twice(tmp_path: Path) -> None:
    """Hidden, and confirmed; the key is then shown to nobody who does not know it."""
    path = tmp_path / "key"
    made = folkmoot("key", "new", path, "--passphrase", "--json", said="secret\nsecret\n")
    record = json.loads(made.stdout)
    assert record["protected"]
    assert "secret" not in made.output
    assert str(keys.SigningKey.load(path, b"secret").public) == record["line"]
    assert json.loads(folkmoot("key", "show", path, "--json", said="secret\n").stdout) == record
    wrong = folkmoot("key", "show", path, said="other\n")
    assert wrong.exit_code == 1
    assert "does not open with this passphrase" in wrong.stderr
    assert folkmoot("key", "new", tmp_path / "b", "--passphrase", said="one\ntwo\n").exit_code != 0
    assert not (tmp_path / "b").exists()


def test_a_script_gives_the_passphrase_in_the_environment(tmp_path: Path) -> None:
    """Nothing is asked; an empty one is none."""
    path = tmp_path / "key"
    assert folkmoot("key", "new", path, "--passphrase", env=PHRASE).exit_code == 0
    assert keys.SigningKey.load(path, b"a phrase")
    assert folkmoot("key", "show", path, env=PHRASE).exit_code == 0
    empty = folkmoot("key", "new", tmp_path / "b", "--passphrase", env={"FOLKMOOT_PASSPHRASE": ""})
    assert (empty.exit_code, (tmp_path / "b").exists()) == (1, False)


def test_openssh_reads_what_we_made(tmp_path: Path) -> None:
    """`ssh-keygen -y` prints our line."""
    line = json.loads(folkmoot("key", "new", tmp_path / "key", "--passphrase", "--json", env=PHRASE).stdout)["line"]
    command = [programs.ssh_keygen(), "-y", "-P", "a phrase", "-f", str(tmp_path / "key")]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert shown.split()[:2] == line.split()


def members(folder: Path) -> dict[str, dict[str, object]]:
    return {each["name"]: each for each in json.loads(folkmoot("key", "show", folder, "--json").stdout)["members"]}


def test_the_keys_of_a_run(finished: Path, tmp_path: Path) -> None:
    """Shown, changed to a given key under a passphrase, revoked: in words and as JSON, and the run still audits."""
    before = members(finished)
    assert (before["coordinator"]["role"], before["holder-00"]["enrolled"]) == ("coordinator", 1)
    given = json.loads(folkmoot("key", "new", tmp_path / "new", "--passphrase", "--json", env=PHRASE).stdout)
    changed = folkmoot("key", "rotate", finished, "holder-00", "--new", tmp_path / "new", "--json", env=PHRASE)
    assert json.loads(changed.stdout)["line"] == given["line"]
    assert "coordinator signs with SHA256:" in folkmoot("key", "rotate", finished, "coordinator").stdout
    revoked = folkmoot("key", "revoke", finished, "holder-01", "--reason", "key-stolen")
    assert revoked.stdout == f"holder-01 is revoked at entry {members(finished)['holder-01']['revoked']}\n"
    after = members(finished)
    assert after["holder-00"]["line"] == given["line"]
    assert after["holder-00"]["rotated"] == [51]
    assert (after["coordinator"]["rotated"], after["holder-01"]["revoked"]) == ([52], 53)
    unchanged = ("holder-02", "holder-03")
    assert [after[name] for name in unchanged] == [before[name] for name in unchanged]
    shown = folkmoot("key", "show", finished).stdout
    assert str(after["coordinator"]["fingerprint"]) in shown
    assert replay.Replay(RunFolder(root=finished), lambda _number, _total: None).audit().recomputed == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("rotate", "RUN", "nobody"), 2, "nobody is no member of this run"),
        (("revoke", "RUN", "coordinator", "--reason", "left"), 2, "the coordinator"),
        (("revoke", "RUN", "holder-00", "--reason", "Not A Code"), 2, "reason code"),
        (("revoke", "RUN", "holder-00"), 2, "--reason"),
        (("rotate", "EMPTY", "coordinator"), 2, "holds no run"),
        (("show", "EMPTY"), 2, "holds no run"),
        (("show", "MISSING"), 1, "No such file"),
        (("rotate", "RUN", "holder-00", "--new", "MISSING"), 1, "No such file"),
    ],
)
def test_a_mistake_is_one_sentence(
    pristine: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """Its exit code says whose mistake, and the run is as it was."""
    places = {"RUN": pristine, "EMPTY": tmp_path, "MISSING": tmp_path / "missing"}
    before = (pristine / "ledger.sqlite").read_bytes()
    result = folkmoot("key", *(places.get(each, each) for each in arguments))
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert (pristine / "ledger.sqlite").read_bytes() == before


@pytest.mark.parametrize("name", ["new", "show", "rotate", "revoke"])
def test_each_command_helps(name: str) -> None:
    """With an example, and with --json."""
    shown = folkmoot("key", name, "--help").stdout
    assert f"folkmoot key {name} " in shown.split("Options:")[0].split("\n", 2)[2]
    assert "--json" in shown
