"""The command as a person uses it: exit codes, one-line errors, JSON, help."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner

from client.tasks import digits
from ledger import checkpoint as log_checkpoint
from ledger import keys, statements
from orchestrator import cli, config, folder, journal
from tests import federation


class Result(NamedTuple):
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


def folkmoot(*arguments: str, cwd: Path) -> Result:
    """The command in this process: its own would import torch again for every test."""
    with contextlib.chdir(cwd):
        result = CliRunner().invoke(cli.cli, list(arguments), prog_name="folkmoot")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Result(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["folkmoot"])


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    """`python -m orchestrator` in a checkout is the same command, and starts without loading torch."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONPROFILEIMPORTTIME": "1"}
    command = [sys.executable, "-m", "orchestrator", "--help"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=True)
    assert result.stdout.startswith("Usage: folkmoot")
    assert " torch" not in result.stderr


@pytest.mark.parametrize("override", ["rule.nmae=mean", "rounds=many", "rule=nothing", "rule.byzantine=9"])
def test_a_mistake_exits_2_with_one_sentence(tmp_path: Path, override: str) -> None:
    """No traceback, nothing on standard output, nothing written."""
    result = folkmoot("run", override, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("folkmoot: ")
    assert result.stderr.count("\n") == 1
    assert not result.stdout
    assert not list(tmp_path.iterdir())


def test_a_sweep_with_a_mistake_starts_nothing(tmp_path: Path) -> None:
    """Every combination is checked before the first runs."""
    result = folkmoot("run", "--multirun", "pool=inprocess", "rounds=1", "rule=mean,nothing", cwd=tmp_path)
    assert (result.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "rule=nothing" in result.stderr


def test_a_sweep_runs_each_combination(tmp_path: Path) -> None:
    """One folder a run, named after what it is."""
    result = folkmoot("run", "--multirun", "pool=inprocess", "rounds=1", "rule=mean,median", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    expected = {config.compose(["rounds=1", f"rule={rule}"]).folder.name for rule in ("mean", "median")}
    assert {path.parent.name for path in tmp_path.rglob("ledger.sqlite")} == expected


def test_the_configuration_can_be_shown_without_running(tmp_path: Path) -> None:
    """--cfg job prints YAML and starts nothing."""
    result = folkmoot("run", "--cfg", "job", "rounds=7", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "rounds: 7" in result.stdout
    assert not list(tmp_path.rglob("ledger.sqlite"))


@pytest.mark.parametrize("command", [(), ("run",), ("audit",), ("infer",)])
def test_help_shows_examples(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Each command's --help has one to copy."""
    result = folkmoot(*command, "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "\n  folkmoot " in result.stdout


def test_json_is_one_object_on_standard_output(tmp_path: Path) -> None:
    """What a program reads is not mixed with what a person sees."""
    result = folkmoot("run", "--json", "pool=inprocess", "rounds=1", "dir=here", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["rounds"] == record["planned"] == 1
    assert record["folder"] == "here"
    assert all((tmp_path / path).stat().st_size > 1000 for path in record["plots"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--config-dir", "nowhere"), "nowhere: there is no such folder"),
        (("--config-name", "foo"), "there is no flag --config-name"),
        (("--rounds=3",), "there is no flag --rounds"),
        (("rule=mean,median",), "--multirun"),
        (("dir=",), "dir is empty"),
        (("store.name=tape",), "store.name is 'tape', expected one of: blocks, ipfs"),
    ],
)
def test_a_wrong_flag_is_one_sentence_too(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    """What Hydra or the shell would say otherwise is said in our words, and nothing is written."""
    result = folkmoot("run", *arguments, cwd=tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert sentence in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    """An error of the file system names the file and is no traceback."""
    (tmp_path / "taken").write_text("")
    result = folkmoot("run", "pool=inprocess", "rounds=1", "dir=taken", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (1, "folkmoot: File exists: taken\n")


@pytest.mark.parametrize("damage", [b"", b"{", None])
def test_a_damaged_configuration_is_named(finished: Path, tmp_path: Path, damage: bytes | None) -> None:
    """Only config.yaml says who was hostile: without it the run is not relabelled, it is refused."""
    path = finished / "config.yaml"
    path.unlink() if damage is None else path.write_bytes(damage)
    result = folkmoot("run", *federation.TWO_ROUNDS, f"dir={finished}", "attack=none", cwd=tmp_path)
    assert (result.returncode, "is missing or damaged" in result.stderr) == (2, True)


def test_inference_asks_whose_log_it_is(finished: Path, tmp_path: Path) -> None:
    """A log whose checkpoint anybody else signed is not the log of the run, however well it hangs together."""
    where = folder.RunFolder(root=finished)
    stranger = keys.SigningKey.generate()
    with journal.published(where.ledger) as record:
        root, size = record.root(), record.size
    name = journal.origin(where.coordinator_key().public.fingerprint)
    signed = log_checkpoint.LogCheckpoint(origin=name, size=size, root=root)
    where.checkpoint.write_bytes(log_checkpoint.sign(signed, stranger))
    result = folkmoot("infer", str(finished), cwd=tmp_path)
    assert result.returncode == 1
    assert "sign" in result.stderr


def test_a_second_start_says_where_it_stands(finished: Path, tmp_path: Path) -> None:
    """The same command on a finished run repeats its summary and says that nothing is left to do."""
    overrides = (*federation.TWO_ROUNDS, f"dir={finished}")
    result = folkmoot("run", *overrides, cwd=tmp_path)
    assert result.stdout.startswith("all 2 rounds are done")
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(tmp_path / "half", federation.Interrupting(15))
    result = folkmoot("run", *federation.TWO_ROUNDS, f"dir={tmp_path / 'half'}", cwd=tmp_path)
    assert result.stdout.startswith("resuming after round 1 of 2")


def test_warnings_reach_the_terminal(tmp_path: Path) -> None:
    """What goes wrong at a holder is said while it happens: here, training that diverges."""
    result = folkmoot("run", "pool=inprocess", "rounds=1", "task.learning_rate=1e30", "dir=here", cwd=tmp_path)
    assert result.returncode == 0
    assert "holder-00 did not offer: training-failed" in result.stdout.replace("\n", " ")
    assert not list(tmp_path.glob("*.log"))


def test_an_audit_tells_by_its_exit_code(finished: Path) -> None:
    """0 and a report; 1 and the first difference, also as JSON; 2 for a folder that holds no run."""
    good = folkmoot("audit", str(finished), "--json", cwd=finished)
    assert (good.returncode, json.loads(good.stdout)["ok"]) == (0, True)
    block = next(path for path in (finished / "blocks").glob("??/bafk*"))
    block.chmod(0o644)
    block.write_bytes(b"something else")
    bad = folkmoot("audit", str(finished), "--json", cwd=finished)
    assert (bad.returncode, json.loads(bad.stdout)["ok"]) == (1, False)
    assert block.name in bad.stderr
    none = folkmoot("audit", "nowhere", cwd=finished)
    assert none.returncode == 2
    assert (
        none.stderr
        == "folkmoot: nowhere does not exist: expected a run folder, a bundle or the URL of a run's service\n"
    )


def test_inference_verifies_and_predicts(finished: Path, tmp_path: Path) -> None:
    """The latest checkpoint by default; the predictions on the test images are those it is judged by."""
    judged = json.loads(folkmoot("infer", str(finished), "--json", cwd=tmp_path).stdout)
    assert (judged["round"], judged["total"]) == (2, 360)
    test = digits.load(config.compose([]).plan.task, seed=0).test()
    np.save(tmp_path / "test.npy", test.inputs.numpy())
    result = folkmoot("infer", str(finished), "--input", "test.npy", "--json", cwd=tmp_path)
    predictions = json.loads(result.stdout)["predictions"]
    assert sum(int(p == label) for p, label in zip(predictions, test.labels.tolist(), strict=True)) == judged["correct"]


def test_the_latest_run_is_meant_where_none_is_named(finished: Path, tmp_path: Path) -> None:
    """Audit and infer find it in runs/; infer finds the run that stores a checkpoint; an empty folder says what to do."""
    none = folkmoot("audit", cwd=tmp_path)
    assert (none.returncode, "there is no run in runs/" in none.stderr) == (2, True)
    (tmp_path / "runs").mkdir()
    finished.rename(tmp_path / "runs" / "one")
    report = json.loads(folkmoot("audit", "--json", cwd=tmp_path).stdout)
    found = json.loads(folkmoot("infer", "--checkpoint", report["checkpoint"], "--json", cwd=tmp_path).stdout)
    assert found["checkpoint"] == report["checkpoint"]
    stray = folkmoot(
        "infer", "--checkpoint", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", cwd=tmp_path
    )
    assert (stray.returncode, "none of the 1 runs" in stray.stderr) == (2, True)
    garbage = folkmoot("infer", "--checkpoint", "../../etc/passwd", cwd=tmp_path)
    assert (garbage.returncode, "CID" in garbage.stderr) == (1, True)


def test_predictions_are_one_a_line(finished: Path, tmp_path: Path) -> None:
    """From a CSV as from an array; and the sentence about lineage comes first."""
    np.savetxt(tmp_path / "two.csv", np.zeros((2, 64)), delimiter=",")
    result = folkmoot("infer", str(finished), "--input", "two.csv", cwd=tmp_path)
    first, *predictions = result.stdout.splitlines()
    assert first.endswith("round 2, lineage of 3 verified")
    assert len(predictions) == 2
    assert len(set(predictions)) == 1
    other = folkmoot("infer", str(finished), "--input", "two.txt", cwd=tmp_path)
    assert (other.returncode, "expected a .npy or .csv file" in other.stderr) == (2, True)


def test_a_checkpoint_is_as_good_as_its_parents(finished: Path, tmp_path: Path) -> None:
    """A committed model whose lineage cannot be read is not predicted with."""
    with journal.published(finished / "ledger.sqlite") as record:
        first = statements.parse(next(iter(record.entries(0, 1))).envelope.payload)
    assert isinstance(first, statements.Genesis)
    next((finished / "blocks").glob(f"??/{first.checkpoint}")).unlink()
    result = folkmoot("infer", str(finished), cwd=tmp_path)
    assert (result.returncode, first.checkpoint in result.stderr) == (1, True)


def test_inference_refuses_what_the_log_does_not_commit_to(finished: Path, tmp_path: Path) -> None:
    """A CID outside the lineage, a wrong shape, a pickle, a damaged parent: one sentence each."""
    stray = folkmoot("infer", str(finished), "--checkpoint", "b" + "a" * 58, cwd=tmp_path)
    assert (stray.returncode, "commits to no checkpoint" in stray.stderr) == (2, True)
    np.save(tmp_path / "wrong.npy", np.zeros((2, 3)))
    shape = folkmoot("infer", str(finished), "--input", "wrong.npy", cwd=tmp_path)
    assert (shape.returncode, "expected (examples, 64)" in shape.stderr) == (2, True)
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "empty.npy").write_bytes(b"")
    np.savez(tmp_path / "zip.npz", a=np.zeros((2, 64)))
    (tmp_path / "zip.npz").rename(tmp_path / "zip.npy")
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    np.save(tmp_path / "nan.npy", np.full((2, 64), np.nan))
    for name in ("empty.npy", "zip.npy", "text.npy", "nan.npy", "absent.npy"):
        unread = folkmoot("infer", str(finished), "--input", name, cwd=tmp_path)
        assert (unread.returncode, "cannot be read as numbers" in unread.stderr) == (2, True), unread
    pickled = folkmoot("infer", str(finished), "--input", "pickle.npy", cwd=tmp_path)
    assert (pickled.returncode, "cannot be read" in pickled.stderr) == (2, True)
    shutil.rmtree(finished / "blocks")
    lost = folkmoot("infer", str(finished), cwd=tmp_path)
    assert lost.returncode == 1
    assert "Traceback" not in lost.stderr
