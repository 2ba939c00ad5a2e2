"""`folkmoot ledger export` and `folkmoot ledger check-account`, as a person uses them."""

import contextlib
import dataclasses
import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ledger import checkpoint, dsse, errors, keys, log, note, publication
from orchestrator import accounting, archive, folder, journal
from orchestrator.commands import accounts, export
from tests.ledger import programs

TOKEN = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


def run(command: click.Command, *arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def vkey(place: Path) -> str:
    with archive.opened(str(place)) as found:
        member = journal.coordinator(archive.proven(found))
        key = note.Verifier(name=found.promise.origin, key=member.key_at(found.promise.size))
        return note.vkey(key)


def balances(place: Path) -> dict[str, int]:
    with archive.opened(str(place)) as found:
        return dict(archive.proven(found).balances)


@pytest.mark.parametrize(("form", "program"), [("beancount", "bean_check"), ("hledger", "hledger")])
def test_a_run_is_exported_for_accountants(pristine: Path, tmp_path: Path, form: str, program: str) -> None:
    """A finished run, into a file that the accountants' program accepts; to standard output the same bytes."""
    out = tmp_path / f"credits.{form}"
    said = run(export.export, pristine, "--format", form, "--start-date", "2026-01-01", "--out", out)
    assert said.exit_code == 0
    assert said.output.startswith(f"{out}: the accounts of 2 rounds")
    checks = [programs.bean_check(), out] if form == "beancount" else [programs.hledger(), "-f", out, "check", "-s"]
    subprocess.run(checks, check=True, env={"HOME": str(tmp_path), "LC_ALL": "C.UTF-8"})
    assert run(export.export, pristine, "--format", form, "--start-date", "2026-01-01").stdout == out.read_text()
    assert "\n2026-01-02 * " in out.read_text()
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_member_takes_its_account_to_a_stranger(pristine: Path, tmp_path: Path) -> None:
    """One file and the log's key: the stranger sees the balance; an altered file is refused, exit 1."""
    member, held = max(balances(pristine).items(), key=lambda item: item[1])
    out = tmp_path / "account.json"
    asked = ("--format", "statement", "--member", member, "--out", out)
    made = json.loads(run(export.export, pristine, *asked, "--json").stdout)
    assert (made["format"], made["rounds"], made["out"]) == ("statement", 2, str(out))
    shown = run(accounts.check_account, out, "--key", vkey(pristine))
    assert (shown.exit_code, f"{held:,}" in shown.output) == (0, True)
    record = json.loads(run(accounts.check_account, out, "--key", vkey(pristine), "--json").stdout)
    assert (record["ok"], record["member"], record["balance_micro"]) == (True, member, held)
    out.write_text(out.read_text().replace(f'"balance":{held},"checkpoint"', f'"balance":{held + 1},"checkpoint"'))
    spoiled = run(accounts.check_account, out, "--key", vkey(pristine), "--json")
    assert spoiled.exit_code == 1
    assert json.loads(spoiled.stdout)["ok"] is False


def test_published_files_are_exported_alike(pristine: Path, tmp_path: Path) -> None:
    """From the static files, without the database: the same bytes in every form."""
    with journal.published(pristine / "ledger.sqlite") as record:
        assert isinstance(record, log.Log)
        publication.publish(record, tmp_path / "www")
    member = next(iter(balances(pristine)))
    for form in (["beancount"], ["hledger"], ["postings"], ["statement", "--member", member]):
        mine = run(export.export, pristine, "--format", *form)
        theirs = run(export.export, tmp_path / "www", "--format", *form)
        assert (mine.exit_code, theirs.stdout) == (0, mine.stdout)


def test_what_each_is_due_on_a_chain(pristine: Path, tmp_path: Path) -> None:
    """With an address for each member that holds credit; without, the members are named and nothing is written."""
    held = {name: micro for name, micro in balances(pristine).items() if micro}
    addresses, out = tmp_path / "addresses.json", tmp_path / "airdrop.csv"
    asked = ("--format", "csv", "--addresses", addresses, "--token", TOKEN, "--out", out)
    addresses.write_text("{}")
    refused = run(export.export, pristine, *asked)
    assert refused.exit_code == 1
    assert all(name in refused.stderr for name in held)
    assert not out.exists()
    addresses.write_text(json.dumps({name: f"0x{number:040x}" for number, name in enumerate(held, start=1)}))
    assert run(export.export, pristine, *asked).exit_code == 0
    rows = [line.split(",") for line in out.read_text().splitlines()[1:]]
    assert [int(row[3]) for row in rows] == [held[name] for name in sorted(held)]


def test_nothing_is_overwritten_unasked(pristine: Path, tmp_path: Path) -> None:
    """A file that is there stays as it is, exit 2; with --force it is replaced."""
    out = tmp_path / "postings.csv"
    out.write_text("mine")
    refused = run(export.export, pristine, "--format", "postings", "--out", out)
    assert (refused.exit_code, out.read_text()) == (2, "mine")
    assert "--force" in refused.stderr
    assert run(export.export, pristine, "--format", "postings", "--out", out, "--force").exit_code == 0
    assert out.read_text().startswith("seq,id,")


def _flip(place: Path) -> int:
    """Change one character of a signature in the database."""
    with contextlib.closing(sqlite3.connect(place / "ledger.sqlite")) as connection, connection:
        [(seq, data)] = connection.execute("SELECT seq, leaf FROM entry WHERE seq = (SELECT max(seq) - 1 FROM entry)")
        at = data.index(b'"sig":"') + 10
        spoiled = data[:at] + (b"B" if data[at : at + 1] != b"B" else b"C") + data[at + 1 :]
        connection.execute("UPDATE entry SET leaf = ? WHERE seq = ?", (spoiled, seq))
    return int(seq)


def _forge(place: Path) -> int:
    """Make the log again around a statement that somebody else signed, whole and under the coordinator's checkpoint."""
    where = folder.RunFolder(root=place)
    with journal.published(where.ledger) as record:
        envelopes = [entry.envelope for entry in record.entries()]
    origin, seq = _origin(place), len(envelopes) - 2
    envelopes[seq] = dsse.sign(envelopes[seq].payload, keys.SigningKey.generate())
    for old in (*place.glob("ledger.sqlite*"), where.checkpoint):
        old.unlink()
    with log.Log.open(where.ledger, origin=origin) as record:
        record.append(envelopes, head=record.head)
        record.publish(where.coordinator_key())
    return seq


@pytest.mark.parametrize("damage", [_flip, _forge])
@pytest.mark.parametrize("form", ["beancount", "hledger", "postings", "statement", "csv"])
def test_an_unsound_log_is_not_exported(
    finished: Path, tmp_path: Path, form: str, damage: Callable[[Path], int]
) -> None:
    """A changed byte, or a forged signature in a log that is otherwise whole: exit 1, and no file, not even a part."""
    addresses, out = tmp_path / "addresses.csv", tmp_path / "out"
    addresses.write_text("member,address\n")
    more = {"statement": ["--member", "holder-00"], "csv": ["--addresses", addresses, "--token", TOKEN]}
    out.write_text("before")
    seq = damage(finished)
    said = run(export.export, finished, "--format", form, *more.get(form, []), "--out", out, "--force")
    assert said.exit_code == 1
    assert f"entry {seq}" in said.stderr
    assert out.read_text() == "before"
    assert run(export.export, finished, "--format", form, *more.get(form, [])).stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["addresses.csv", "out", "run"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["statement"], "needs --member"),
        (["csv", "--token", TOKEN], "needs --addresses"),
        (["beancount", "--member", "holder-00"], "--member belongs to --format statement"),
        (["postings", "--token", TOKEN], "--token belongs to --format csv"),
        (["postings", "--start-date", "2026-01-01"], "--start-date belongs to"),
        (["postings", "--json"], "--json needs --out"),
        (["hledger", "--start-date", "1.1.2026"], "--start-date"),
        (["xml"], "--format"),
        (["statement", "--member", "nobody"], "'nobody' is no member"),
    ],
)
def test_a_mistake_is_told(pristine: Path, options: list[str], reason: str) -> None:
    """With the option that it is about, nothing on standard output."""
    said = run(export.export, pristine, "--format", *options)
    assert said.exit_code in (1, 2)
    assert reason in said.stderr
    assert said.stdout == ""


def test_the_checkpoint_has_the_last_word(pristine: Path) -> None:
    """Entries that fit are not enough: their root is the checkpoint's, and the coordinator signed that."""
    with archive.opened(str(pristine)) as found:
        other = dataclasses.replace(found.promise, root=bytes(32))
        with pytest.raises(errors.CorruptError, match="entries have root"):
            list(accounting.Vouched(dataclasses.replace(found, promise=other)))
        usurped = checkpoint.sign(found.promise, keys.SigningKey.generate())
        with pytest.raises(errors.SignatureError):
            list(accounting.Vouched(dataclasses.replace(found, note=usurped)))
        assert list(accounting.Vouched(found))


def test_what_no_checkpoint_covers_is_not_exported(finished: Path) -> None:
    """Entries after the last signed checkpoint are not promised to anybody: the export is as of the checkpoint."""
    before = run(export.export, finished, "--format", "postings").stdout
    with log.Log.open(finished / "ledger.sqlite", origin=_origin(finished)) as record:
        record.append([dsse.sign(b"{}", keys.SigningKey.generate())], head=record.head)
    assert run(export.export, finished, "--format", "postings").stdout == before


def _origin(place: Path) -> str:
    with archive.opened(str(place)) as found:
        return found.promise.origin


def test_a_member_reads_its_account(pristine: Path, tmp_path: Path) -> None:
    """Verified, as lines, CSV or JSON; the file with proofs is that of the export, the printed command checks it."""
    member, held = max(balances(pristine).items(), key=lambda item: item[1])
    out = tmp_path / "account.json"
    done = run(accounts.statement, member, pristine, "--out", out)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1].startswith(f"{member}: 2 postings in folkmoot/")
    assert f"{held:,}" in done.stdout.splitlines()[-2]
    assert out.read_text() == run(export.export, pristine, "--format", "statement", "--member", member).stdout
    *_, key = done.stderr.strip().rstrip("`").split()
    assert run(accounts.check_account, out, "--key", key).stdout == done.stdout
    for form in ("--csv", "--json"):
        mine = run(accounts.statement, member, pristine, form).stdout
        assert run(accounts.check_account, out, "--key", key, form).stdout == mine
    head, *rows = run(accounts.statement, member, pristine, "--csv").stdout.splitlines()
    table = run(export.export, pristine, "--format", "postings").stdout.splitlines()
    assert [head, *rows] == [table[0], *(line for line in table if f"member:{member}," in line)]
    told = json.loads(run(accounts.statement, member, pristine, "--json").stdout)
    assert (told["balance_micro"], [each["id"] for each in told["rows"]]) == (held, ["round/1", "round/2"])


def test_an_account_that_nothing_was_posted_to_is_empty(pristine: Path, tmp_path: Path) -> None:
    """The coordinator earns nothing; who is no member has no account; a file is replaced only if that is asked for."""
    assert run(accounts.statement, "coordinator", pristine).stdout.startswith("coordinator: 0 postings")
    stranger = run(accounts.statement, "nobody", pristine)
    assert (stranger.exit_code, "no member of this run" in stranger.output) == (1, True)
    (tmp_path / "mine").write_text("mine")
    taken = run(accounts.statement, "coordinator", pristine, "--out", tmp_path / "mine")
    assert (taken.exit_code, (tmp_path / "mine").read_text()) == (2, "mine")
    assert run(accounts.statement, "coordinator", pristine, "--out", tmp_path / "mine", "--force").exit_code == 0
    assert run(accounts.statement, "coordinator", pristine, "--csv", "--json").exit_code == 2
