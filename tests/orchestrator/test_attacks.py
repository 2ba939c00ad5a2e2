"""What a stranger, a hostile member or another user of the machine tries on a federation over a network."""

import copy
import io
import json
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from rich.console import Console

from client import (
    agreement,
    delivery,
    holder,
    hostile,
    invitation,
    participation,
    plan,
    policy,
    remote,
    turn,
    worker,
)
from client import errors as client_errors
from exchange import places
from ledger import canonical, checkpoint, dsse, history, keys, log, membership, note, statements
from ledger import errors as ledger_errors
from orchestrator import admittance, config, errors, folder, inprocess, journal, presence, replay, settlement
from orchestrator.commands import refusal
from tests import federation, moot, runs
from tests.exchange import test_attacks as others

NUMBERS = (*range(14, 24), 31, 32, 35, 36, 39, 42, *range(44, 51))
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e\r\nfolkmoot: all is well"
SECRET = "9f2c7-not-to-be-seen"
INTERPOLATION = "${oc.env:FOLKMOOT_SECRET}"
INVITED = invitation.Invitation(run="ab" * 32, name="alice", seed=bytes(range(32)))


def test_every_attack_on_a_federation_has_a_test() -> None:
    """Each number of the list is named by a test."""
    found = others.named()
    assert [number for number in NUMBERS if not found.get(number)] == []


class Copyist(holder.Holder):
    """Sends the update that the first of its owner's keys has trained."""

    trained: object = None

    def _delta(self, opening: statements.RoundOpen, start: object):
        if Copyist.trained is None:
            Copyist.trained = super()._delta(opening, start)
        return Copyist.trained


@pytest.fixture
def world(tmp_path: Path) -> federation.Federation:
    return federation.Federation(tmp_path / "run", "rule=mean", "rule.byzantine=0", "attack=none")


def settled(world: federation.Federation) -> settlement.Settlement:
    opened = world.agreed.opening(world.opening)
    return settlement.settle(world.agreed, opened, world.seal(), str(world.identity), world.start, world.store)


def test_another_holders_update_of_this_round_cannot_be_copied(world: federation.Federation) -> None:
    """20: until a round is over its updates are sealed: a copy of the bytes is another's, by context, and is not paid."""
    names = world.names
    victim = world.contribute(names[0])
    assert not any(isinstance(federation.parsed(each), statements.RoundDisclose) for each in world.envelopes)
    stolen = world.contribute(names[1])
    copied = statements.UpdateOffer(
        **{field: getattr(stolen, field) for field in stolen.__dataclass_fields__}
        | {"ciphertext": victim.ciphertext, "size": victim.size}
    )
    opened = world.agreed.opening(world.opening)
    outcome = settlement.settle(world.agreed, opened, [victim, copied], str(world.identity), world.start, world.store)
    assert dict(outcome.rejected)[names[1]] == "seal-context"
    assert outcome.accepted == (names[0],)
    assert names[1] not in outcome.credit


def test_one_owner_of_several_keys_is_paid_once(world: federation.Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """20: one training sealed under three keys counts three times in the aggregate, and is one party: paid once, in thirds.

    What bounds the former is who is let in: a key has to be invited or expected, and only the coordinator gives roles.
    """
    monkeypatch.setitem(hostile.BEHAVIOURS, "copyist", Copyist)  # type: ignore[arg-type]
    monkeypatch.setattr(Copyist, "trained", None)
    for number, name in enumerate(world.names):
        world.contribute(name, behaviour="copyist" if number < 3 else None)
    outcome = settled(world)
    assert outcome.rejected == ()
    assert outcome.book is not None
    lines = [outcome.book.members[name] for name in world.names[:3]]
    assert [line.party for line in lines] == [world.names[0]] * 3
    assert {line.party for line in outcome.book.members.values()} == {world.names[0], *world.names[3:]}
    thirds = [outcome.credit.get(name, 0) for name in world.names[:3]]
    assert max(thirds) - min(thirds) <= 1
    assert sum(outcome.credit.values()) == world.agreed.plan.credit.pool


def test_idlers_are_paid_nothing(world: federation.Federation) -> None:
    """21: an update of zeros is admitted, moves nothing and earns nothing; so does the last change in a first round."""
    for name, behaviour in zip(world.names, ("idle", "free_rider", *[None] * (len(world.names) - 2)), strict=True):
        world.contribute(name, behaviour=behaviour)
    outcome = settled(world)
    assert [outcome.credit.get(name, 0) for name in world.names[:2]] == [0, 0]
    assert sum(outcome.credit.values()) == world.agreed.plan.credit.pool


def test_an_offer_after_the_seal(tmp_path: Path) -> None:
    """22: it is refused by name, the log is as before, and its holder knows that it is late and not that it failed."""
    run = runs.Run(tmp_path / "run")
    data = b"an update"
    late = run.offer("bob", data)
    run.append(run.offer("alice", data))
    sealed = statements.RoundSeal(author="coordinator", run=run.run, round=1, offers=(run.history.size - 1,))
    run.append(run.signed(sealed))
    size = len(run.entries())
    run.store.put(data)
    with runs.serving(run.where.root) as where, runs.client(where) as asked:
        runs.wait(asked)
        said = asked.post("/statements", content=late.to_bytes())
        assert (said.status_code, said.json()["code"]) == (409, "out-of-order")
        service = remote.Service(f"http://{where[0]}:{where[1]}")
        try:
            with pytest.raises(client_errors.RefusalError) as caught:
                delivery.deliver(late, run.store, service, staging=tmp_path)
        finally:
            service.close()
        assert caught.value.code == "late"
    assert len(run.entries()) == size


def test_clocks_that_jump_by_hours_decide_nothing(
    pristine: Path, tmp_path: Path, execute: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """22: with a clock that is up to five hours wrong, another way at each look, a run comes to the same checkpoint."""
    real, draw = time.time, random.Random(0)
    monkeypatch.setattr(time, "time", lambda: real() + draw.uniform(-18_000, 18_000))
    execute(tmp_path / "run")
    monkeypatch.undo()
    found = [
        replay.Replay(folder.RunFolder(root=root), lambda *_: None).audit() for root in (pristine, tmp_path / "run")
    ]
    assert found[0].checkpoint == found[1].checkpoint


def test_a_stolen_coordinator_key(tmp_path: Path) -> None:
    """23: once it is changed the old key opens nothing; and with either, nothing is said for the coordinator over HTTP."""
    run = runs.Run(tmp_path / "run")
    stolen, fresh = run.key, keys.SigningKey.generate()
    run.append(run.signed(membership.rotation(run.run, "coordinator", stolen.public, fresh)))
    opening = statements.build(run.opening(2))
    with pytest.raises(ledger_errors.SignatureError):
        history.apply(run.history, run.history.size, dsse.sign(opening, stolen))
    size = len(run.entries())
    with runs.serving(run.where.root) as where, runs.client(where) as asked:
        runs.wait(asked)
        for key in (stolen, fresh):
            said = asked.post("/statements", content=dsse.sign(opening, key).to_bytes())
            assert (said.status_code, said.json()["code"]) == (403, "not-entitled")
    assert len(run.entries()) == size


def texts(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Where texts stand in a record."""
    if isinstance(value, str):
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from texts(inner, (*path, key))


def put(record: dict, path: tuple[object, ...], value: object) -> dict:
    changed = copy.deepcopy(record)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return changed


def read(record: dict) -> agreement.Agreement:
    """What a holder makes of a received genesis with this plan."""
    key = keys.SigningKey.generate()
    cid = "bafkreigks6arfsq3xxfpvqrrwonchxcnu6do76auprhhfomao6c273sixm"
    genesis = statements.Genesis(author="coordinator", plan=record, key=str(key.public), checkpoint=cid)
    return agreement.Agreement.read(dsse.sign(statements.build(genesis), key))


@pytest.fixture
def no_hydra(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on nothing may be instantiated, resolved or composed."""
    import hydra
    import omegaconf

    def never(*_: object, **__: object) -> None:
        pytest.fail("a received text came to Hydra")

    for owner, name in (
        (hydra.utils, "instantiate"),
        (hydra, "compose"),
        (omegaconf.OmegaConf, "create"),
        (omegaconf.OmegaConf, "to_container"),
    ):
        monkeypatch.setattr(owner, name, never)


def record_of(*overrides: str) -> dict:
    return json.loads(canonical.encode(config.compose([*overrides, "attack=none"]).plan.to_record()))


@pytest.mark.parametrize("task", ["digits", "images", "table", "text"])
def test_a_received_plan_is_never_instantiated(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path, task: str
) -> None:
    """45: an interpolation in any text, a `_target_` in any section: refused, and no variable or file is touched."""
    monkeypatch.setenv("FOLKMOOT_SECRET", SECRET)
    record, touched = record_of(f"task={task}"), tmp_path / "touched"
    request.getfixturevalue("no_hydra")
    places_of_text = list(texts(record))
    assert len(places_of_text) > 10
    for path in places_of_text:
        with pytest.raises(client_errors.ClientError) as caught:
            read(put(record, path, INTERPOLATION))
        assert SECRET not in str(caught.value)
    sections = [(), *((key,) for key, value in record.items() if isinstance(value, dict))]
    for path in sections:
        for more in ({"_target_": "pathlib.Path.touch", "_args_": [str(touched)]}, {"defaults": ["task: text"]}):
            section = dict(more) if not path else record[path[0]] | more
            with pytest.raises(client_errors.ClientError):
                read({**record, **section} if not path else put(record, path, section))
    assert not touched.exists()


def test_text_that_may_be_anything_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """45: a name of a class may look like an interpolation; it is that name, in the plan and in what is shown."""
    monkeypatch.setenv("FOLKMOOT_SECRET", SECRET)
    record = record_of("task=images")
    record["task"] |= {
        "classes": [INTERPOLATION, "other"],
        "test": "bafkreigks6arfsq3xxfpvqrrwonchxcnu6do76auprhhfomao6c273sixm",
    }
    agreed = plan.Plan.from_record(record)
    assert agreed.task.classes == (INTERPOLATION, "other")  # type: ignore[attr-defined]
    assert SECRET not in json.dumps(agreed.to_record())


def test_other_received_texts_are_no_configuration(world: federation.Federation) -> None:
    """45: neither a statement nor an invitation can hold an interpolation where it has a text; a policy can hold no more."""
    opened = federation.parsed(world.opening)
    assert isinstance(opened, statements.RoundOpen)
    values = {field: getattr(opened, field) for field in opened.__dataclass_fields__}
    for field, value in values.items():
        wrong = INTERPOLATION if isinstance(value, str) else (INTERPOLATION,) if isinstance(value, tuple) else None
        if wrong is not None:
            with pytest.raises(ledger_errors.StatementError):
                statements.build(statements.RoundOpen(**values | {field: wrong}))
    for field in ("run", "name"):
        text = invitation.Invitation(
            **{"run": INVITED.run, "name": "alice", "seed": INVITED.seed} | {field: INTERPOLATION}
        ).text
        with pytest.raises(client_errors.InvitationError):
            invitation.Invitation.parse(text)
    for line in (
        f"coordinators: [{INTERPOLATION}]",
        "rounds: !!python/object/apply:os.getpid []",
        f"_target_: {INTERPOLATION}",
    ):
        with pytest.raises(client_errors.PolicyError):
            policy.Policy.parse(line.encode())


def test_names_in_a_received_plan_are_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    """46: names of columns and classes are shown before consent: one that moves the cursor is no plan."""
    record = record_of("task=images")
    for name in (HOSTILE, "a\u202eb", "a\nb", "\x9b2J"):
        record["task"]["classes"] = ["good", name]
        with pytest.raises(client_errors.PlanError, match="printable") as caught:
            plan.Plan.from_record(record)
        assert str(caught.value).isprintable()


def test_what_strangers_said_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """46: an event, a term, a verdict, an error: on a terminal, in a pipe and as JSON, escapes are question marks."""
    event = turn.Event(kind="unreachable", text=f"http://x says {HOSTILE}", data={"code": HOSTILE})
    for as_json in (False, True):
        for console in (Console(file=io.StringIO(), force_terminal=True), Console(file=io.StringIO())):
            with presence.Presence(as_json=as_json, name="alice") as show:
                show.console = console
                show.heard(event)
                show.asked({"task": f"two \x1b[2J {HOSTILE[:12]}"})
                show.judged([participation.consent.Verdict("tasks", False, HOSTILE)])
                show.said("done")
            shown = console.file.getvalue()  # type: ignore[attr-defined]
            assert not re.search(r"\x1b\]|\x1b\[2J|\u202e|\x07|\r|^folkmoot", shown, re.MULTILINE)
        assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())
    with pytest.raises(SystemExit):
        refusal.fail(errors.ConfigError(HOSTILE))
    said = capsys.readouterr().err
    assert all(line.isprintable() for line in said.splitlines())
    assert click.unstyle(said) == said


@pytest.mark.parametrize("kind", ["group", "link", "missing"])
def test_an_invitation_that_others_can_read_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """48: a file of group or others, or a symlink, is refused with what to do; nothing of it is said or kept."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "invitation.txt"
    path.write_text(INVITED.text)
    path.chmod(0o640 if kind == "group" else 0o600)
    if kind == "link":
        path = path.rename(tmp_path / "elsewhere")
        (tmp_path / "invitation.txt").symlink_to(path)
    elif kind == "missing":
        path.unlink()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(errors.ConfigError, match="no file" if kind == "missing" else "chmod 600") as caught:
        admittance.found("http://127.0.0.1:9", admittance.Claim(invite="invitation.txt"))
    assert INVITED.text not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_kept_secret_that_others_can_read_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """48: the holder's key and its invitation, opened to others after they were kept, are refused; so is a linked key."""
    monkeypatch.chdir(tmp_path)
    place, _ = admittance.found("http://127.0.0.1:9", admittance.Claim(invite=INVITED.text))
    place.key()
    for path, use in ((place.root / "invitation", place.invited_by), (place.key_path, place.key)):
        path.chmod(0o604)
        with pytest.raises(ledger_errors.KeyFileError, match="expected -rw-------"):
            use()
        path.chmod(0o600)
        shutil.move(path, tmp_path / "moved")
        path.symlink_to(tmp_path / "moved")
        with pytest.raises(ledger_errors.KeyFileError):
            use()
        path.unlink()
        shutil.move(tmp_path / "moved", path)


@pytest.mark.parametrize("said", [f" {INVITED.text[:-1]}", f"x{INVITED.text}", f"{INVITED.text} {INVITED.text}"])
def test_an_invitation_that_was_mistyped_is_not_repeated(said: str) -> None:
    """47: it may be the secret but for a character."""
    with pytest.raises(errors.ConfigError) as caught:
        admittance.found("http://127.0.0.1:9", admittance.Claim(invite=said))
    assert INVITED.text[30:60] not in str(caught.value)


@pytest.mark.parametrize("given", [["--invite", INVITED.text], [f"--invite={INVITED.text}"]])
def test_the_command_that_goes_on_has_no_invitation(monkeypatch: pytest.MonkeyPatch, given: list[str]) -> None:
    """47: what Ctrl-C prints to be used again, and is kept in histories and logs, lacks the one secret of the command."""
    monkeypatch.setattr(sys, "argv", ["folkmoot", "join", "http://x", *given, "--data", "my data.csv"])
    assert refusal.again() == "folkmoot join http://x --data 'my data.csv'"


def seen(pids: set[int]) -> bytes:
    """The command lines and environments of processes, and of all that they started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    wanted, more = set(pids), set(pids)
    while more:
        more = {pid for pid, parent in parents.items() if parent in more} - wanted
        wanted |= more
    found = b""
    for pid in wanted:
        for name in ("cmdline", "environ"):
            try:
                found += Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for command lines")
def test_secrets_of_a_federation_stay_in_their_files(tmp_path: Path) -> None:
    """47: seeds of invitations, keys, identities: in no log, event, log of the ledger, block, command line or environment."""
    names = ("ann", "bo", "cleo")
    made = moot.Moot(tmp_path, names, "rounds=1", "disclosure=none")
    try:
        invited = [invitation.Invitation.parse(Path(made.invitation(name)).read_text()) for name in names]
        holders = [made.join(name, "--accept", *(["--json"] if name == "bo" else [])) for name in names]
        processes, private, spied = [made.coordinator, *holders], {}, b""
        until = time.monotonic() + moot.PATIENCE
        while any(each.running for each in processes) and time.monotonic() < until:
            spied += seen({each.pid for each in processes})
            for path in (made.root / "keys").rglob("*"):
                if path.is_file() and not path.name.startswith("."):
                    private.setdefault(path, path.read_bytes())
            time.sleep(0.2)
        assert [each.ends() for each in processes] == [0] * 4
    finally:
        made.stop()
    private |= {path: path.read_bytes() for path in tmp_path.glob("folkmoot-*/key")}
    assert {path.name for path in private} >= {"coordinator", "key", "1.age"}
    secrets = [line for data in private.values() for line in data.splitlines() if len(line) > 60 or b"SECRET" in line]
    secrets += [text for each in invited for text in (each.text.encode(), each.seed, each.seed.hex().encode())]
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path not in private}
    said = made.coordinator.log  # its terminal, on which an invitation is printed, to be sent
    assert not any(secret in data for secret in secrets for path, data in kept.items() if path != said)
    assert not any(secret in kept[said].replace(each.text.encode(), b"") for each in invited for secret in secrets[:-9])
    assert not any(secret in spied for secret in secrets)
    assert spied


def test_what_ray_is_given_holds_no_secret(pristine: Path) -> None:
    """47: workers are told where keys lie, and not keys: nothing of them is in the object store."""
    private = [pristine / "keys" / "coordinator", *pristine.glob("holders/*/key")]
    settings = worker.Settings(
        genesis=b"",
        holders=pristine / "holders",
        store=places.Place(folder=pristine),
        members={"holder-00": 0},
        hostile={},
        threads=1,
    )
    given = pickle.dumps(settings)
    assert private
    assert not any(line in given for path in private for line in path.read_bytes().splitlines()[1:-1])


STRANGER = """
import sys
from ray._raylet import GcsClient
try:
    GcsClient(address=sys.argv[1]).internal_kv_keys(b"", None, timeout=3)
    print("inside")
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.ray
def test_nobody_reaches_ray_without_its_token(pristine: Path) -> None:
    """49: another process, with no token or a wrong one, is not let in; so it can hand in no result to be unpickled."""
    import ray

    from orchestrator import pool

    cluster = pool.Cluster(1)
    with cluster:
        address = ray.get_runtime_context().gcs_address
        plainly = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        short = {f"RAY_gcs_rpc_server_{name}_timeout_s": "1" for name in ("connect", "reconnect")}
        asked = {
            "inside": {"RAY_AUTH_MODE": "token"},
            "none": {"RAY_AUTH_MODE": "disabled"},
            "wrong": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
        }
        said = {}
        for name, how in asked.items():
            done = subprocess.run(
                [sys.executable, "-c", STRANGER, address],
                env=plainly | short | how,
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            said[name] = done.stdout.strip()
    assert said == {"inside": "inside", "none": "AuthenticationError", "wrong": "AuthenticationError"}


def log_origin(root: Path) -> str:
    return checkpoint.LogCheckpoint.parse(note.split((root / "checkpoint").read_bytes())[0]).origin


class Died(BaseException):
    """kill -9, as far as one process can show it."""


def test_death_between_commit_and_publication(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """39: the outcome is on the log, and no checkpoint covers it: the next coordinator comes to the same model."""
    root, real = tmp_path / "run", journal.Journal.publish

    def dying(record: journal.Journal) -> None:
        if record.history.round:
            raise Died
        real(record)

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "publish", dying)
        with pytest.raises(Died):
            federation.conduct(root, inprocess.InProcessPool())
    signed = checkpoint.LogCheckpoint.parse(note.split((root / "checkpoint").read_bytes())[0]).size
    with log.Log.open(root / "ledger.sqlite", origin=log_origin(root), read_only=True) as found:
        said = [type(statements.parse(entry.envelope.payload)) for entry in found.entries(signed)]
    assert statements.RoundCommit in said
    federation.conduct(root, inprocess.InProcessPool())
    audits = [replay.Replay(folder.RunFolder(root=each), lambda *_: None).audit() for each in (pristine, root)]
    assert audits[0].checkpoint == audits[1].checkpoint
