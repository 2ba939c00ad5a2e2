"""`folkmoot ledger ...` on a real run."""

import contextlib
import dataclasses
import json
import shutil
import sqlite3
import subprocess
import sys

import pytest
from click.testing import CliRunner

from ledger import checkpoint, cosignature, dsse, log, note, statements
from orchestrator import cli, journal
from orchestrator import folder as run_folder

OTHER = "example.org/log+5e4e04ea+AUAIPA5UJFLjWbgFHdZt1KQBlE3RBBYNBVGvoAQmmRhE"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder of a short run."""
    folder = tmp_path_factory.mktemp("ledger") / "run"
    done = CliRunner().invoke(
        cli.cli,
        ["run", "rounds=2", "pool=inprocess", f"dir={folder}", "task.holders=4", "attack=none", "rule.byzantine=1"],
    )
    assert done.exit_code == 0, done.output
    return folder


def ledger(*arguments, code=0):
    """What the command printed on standard output."""
    done = CliRunner().invoke(cli.cli, ["ledger", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output


def test_show_prints_a_line_an_entry(root):
    """All of them, a slice of them, those of one type or author, and one whole."""
    every = ledger("show", root).splitlines()
    assert [int(line.split()[0]) for line in every] == list(range(len(every)))
    assert ledger("show", root, "--start", 2, "--stop", 5).splitlines() == every[2:5]
    commits = [json.loads(line) for line in ledger("show", root, "--type", "round.commit", "--json").splitlines()]
    assert [each["statement"]["round"] for each in commits] == [1, 2]
    mine = ledger("show", root, "--author", "holder-01").splitlines()
    assert [line.split()[1] for line in mine] == ["member.enrol", "update.offer", "update.offer"]
    whole = json.loads(ledger("show", root, "--entry", 0))
    assert (whole["type"], whole["statement"]["plan"]["rounds"]) == ("genesis", 2)
    assert "the log has" in ledger("show", root, "--entry", 10_000, code=2)


def test_verify_counts_what_it_checked(root):
    """In a run folder; without workers and with."""
    size = len(ledger("show", root).splitlines())
    for workers in (0, 2):
        found = json.loads(ledger("verify", root, "--workers", workers, "--json"))
        assert (found["entries"], found["rounds"], found["members"], found["unsigned"]) == (size, 2, 5, 0)
        assert found["notes"] == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [({"root": bytes(32)}, "has size 12, root 0000"), ({"key": "holder-00"}, "no signature by folkmoot/")],
)
def test_verify_holds_every_signed_checkpoint_against_the_tree(root, tmp_path, change, said):
    """Also one in the middle: with another root, signed by the coordinator, or with the right root, signed by another."""
    folder = tmp_path / "run"
    shutil.copytree(root, folder)
    where = run_folder.RunFolder(root=folder)
    with journal.published(where.ledger) as record:
        origin, right = journal.named(where.ledger, where.coordinator_key().public), record.root(12)
    key = where.holder_key(change["key"]) if "key" in change else where.coordinator_key()
    promise = checkpoint.LogCheckpoint(origin=origin, size=12, root=change.get("root", right))
    with contextlib.closing(sqlite3.connect(where.ledger)) as connection, connection:
        connection.execute("INSERT INTO checkpoint VALUES (12, ?)", (checkpoint.sign(promise, key),))
    assert said in ledger("verify", folder, code=1)


def test_a_published_log_verifies_and_proves_like_its_source(root, tmp_path):
    """The files alone: same head, same root, same proofs."""
    assert "serves" in ledger("publish", root, tmp_path / "files")
    here, there = (json.loads(ledger("verify", place, "--json")) for place in (root, tmp_path / "files"))
    assert [here[name] for name in ("entries", "head", "root", "run")] == [
        there[name] for name in ("entries", "head", "root", "run")
    ]
    for place in (root, tmp_path / "files"):
        ledger("prove", place, "--entry", 7, "--out", tmp_path / place.name)
    assert (tmp_path / "run" / "7.leaf").read_bytes() == (tmp_path / "files" / "7.leaf").read_bytes()
    assert json.loads(ledger("prove", tmp_path / "files", "--since", 5, "--json"))["hashes"]
    bundle = tmp_path / "files" / "tile" / "entries" / f"000.p/{here['entries']}"
    spoiled = bytearray(bundle.read_bytes())
    spoiled[500] ^= 1
    bundle.write_bytes(spoiled)
    assert "entry" in ledger("verify", tmp_path / "files", code=1)


def test_a_proof_is_checked_with_the_key_alone(root, tmp_path):
    """And not for another leaf, or under another key."""
    ledger("prove", root, "--entry", 7, "--out", tmp_path)
    key = ledger("key", root).strip()
    proof, leaf = tmp_path / "7.tlog-proof", tmp_path / "7.leaf"
    assert ledger("check", proof, leaf, "--key", key).startswith("entry 7 is in folkmoot/")
    assert "leads to" in ledger("check", proof, proof, "--key", key, code=1)
    with (tmp_path / "endless").open("wb") as file:
        file.truncate(2**40)
    assert "leads to" in ledger("check", proof, tmp_path / "endless", "--key", key, code=1)
    assert "at most" in ledger("check", tmp_path / "endless", leaf, "--key", key, code=1)
    assert "folkmoot: " in ledger("check", proof, leaf, "--key", OTHER, code=1)
    assert "not in the signed checkpoint" in ledger("prove", root, "--entry", 5_000, code=2)
    assert "one of --entry and --since" in ledger("prove", root, code=2)


def forked(root, folder):
    """The run folder as its operator could show it to others: the last entry is another, and all is signed."""
    folder.mkdir()
    where = run_folder.RunFolder(root=root)
    with journal.published(where.ledger) as record:
        *shared, last = (entry.envelope for entry in record.entries())
    said = statements.parse(last.payload)
    other = dataclasses.replace(said, identity="AGE-SECRET-KEY-1" + "Q" * 58)
    key = where.coordinator_key()
    with log.Log.open(folder / "ledger.sqlite", origin=journal.origin(key.public.fingerprint)) as record:
        record.append([*shared, dsse.sign(statements.build(other), key)], head=record.head)
        record.publish(key)
    return folder


def test_a_fork_is_refused_by_who_remembers_and_its_evidence_convicts(root, tmp_path):
    """A reader of published files remembers too; what it keeps convinces whoever has the log's key (attack 43)."""
    ledger("publish", root, tmp_path / "honest")
    ledger("publish", forked(root, tmp_path / "forked"), tmp_path / "other")
    remembering = ("--memory", tmp_path / "memory")
    assert json.loads(ledger("verify", tmp_path / "honest", *remembering, "--json"))["memory"] == "first seen"
    assert "is the" in ledger("verify", root, *remembering)
    refused = ledger("verify", tmp_path / "other", *remembering, code=1)
    assert "no difference" in ledger("verify", tmp_path / "other", "--no-memory")
    [evidence] = (tmp_path / "memory").glob("*.evidence/*")
    assert str(evidence) in refused
    key = ledger("key", root).strip()
    assert ledger("judge", evidence, "--key", key).startswith("convicts: it signed two roots")
    assert "folkmoot: " in ledger("judge", evidence, "--key", OTHER, code=1)


def test_verify_asks_for_what_a_policy_asks(root, tmp_path):
    """A quorum that nobody cosigned is not met."""
    stranger = cosignature.Verifier(name="w", key=run_folder.RunFolder(root=root).holder_key("holder-00").public)
    (tmp_path / "policy").write_text(f"witness w {note.vkey(stranger)}\nquorum w\n")
    assert "quorum w is not met" in ledger("verify", root, "--policy", tmp_path / "policy", code=1)
    (tmp_path / "policy").write_text("quorum none\n")
    assert "none asked for" in ledger("verify", root, "--policy", tmp_path / "policy")
    assert "exclude each other" in ledger("verify", root, "--memory", tmp_path, "--no-memory", code=2)


def test_who_has_read_enough_is_told_no_more(root):
    """A pipe that closes ends the command without a word."""
    done = subprocess.run(
        f"set -o pipefail; {sys.executable} -m orchestrator ledger show {root} | head -1",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_fsck_tells_all_damage_and_exits_1(root, tmp_path):
    """A sound log has none; a flipped byte is named."""
    assert ledger("fsck", root).endswith("no damage\n")
    folder = tmp_path / "damaged"
    shutil.copytree(root, folder)
    data = bytearray((folder / "ledger.sqlite").read_bytes())
    at = data.index(b'"predicateType"') if b'"predicateType"' in data else data.index(b'{"dsse":{"payload":"')
    data[at + 40] ^= 1
    (folder / "ledger.sqlite").write_bytes(data)
    assert "damaged places: 1\n" in ledger("fsck", folder, code=1)
    assert json.loads(ledger("fsck", folder, "--json", code=1))["ok"] is False


def test_what_holds_no_log_is_refused(tmp_path):
    """With what would do."""
    assert "expected a run folder" in ledger("show", tmp_path, code=2)
