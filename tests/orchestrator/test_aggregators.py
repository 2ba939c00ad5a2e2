"""Aggregators beside real processes: whose word makes a checkpoint final, and who cannot hold up a run."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from client import home, invitation
from exchange import recipients
from ledger import cosigning, dsse, keys, statements
from orchestrator import aggregator, folder, opening, record, replay, station, words
from tests import federation, moot

NAMES = ("alice", "bob", "carol")


@contextlib.contextmanager
def run(tmp_path: Path, aggregators: tuple[str, ...], *overrides: str) -> Iterator[moot.Moot]:
    made = moot.Moot(tmp_path, NAMES, f"pool.aggregators=[{','.join(aggregators)}]", "cohort.deadline=20", *overrides)
    try:
        yield made
    finally:
        made.stop()


def said(root: Path) -> list[statements.Predicate]:
    with record.Record(folder.RunFolder(root=root).ledger) as opened:
        return [statements.parse(entry.envelope.payload) for entry in opened.entries(0)]


class Silent(aggregator.Aggregator):
    """Takes its place, names recipients, and says nothing."""

    def _judge(self, agreed):
        return False


class Contrary(aggregator.Aggregator):
    """Disputes whatever was committed."""

    def _found(self, case, agreed):
        word = self._disputed(case, "aggregate")
        self._words.keep(word)
        return word


class Careless(aggregator.Aggregator):
    """Cosigns a commit that nobody made."""

    def _found(self, case, agreed):
        return statements.RoundCosign(**self._of(case.number), commit="0" * 64)


class Beside(threading.Thread):
    """An aggregator of another kind, in this process."""

    def __init__(self, made: moot.Moot, name: str, kind: type[aggregator.Aggregator]) -> None:
        super().__init__(daemon=True)
        invited = invitation.Invitation.parse(Path(made.invitation(name)).read_text())
        self._place = home.Home(root=made.folder / f"folkmoot-{name}")
        self._whose = home.Membership(run=invited.run, name=name, url=made.url)
        with self._place.held():
            self._place.keep_invitation(invited)
        self._kind = kind
        self.told: list[str] = []
        self.start()

    def run(self) -> None:
        with station.opened(self._place, self._whose, lambda event: self.told.append(event.text), self._kind) as part:
            part.run()

    def says(self, text: str) -> None:
        while text not in self.told:
            assert self.is_alive(), self.told
            self.join(0.05)


def test_two_aggregators_make_rounds_final(tmp_path: Path) -> None:
    """Each names a recipient, opens the updates itself and cosigns; none of its keys is left (attack 39).

    One of them is killed after it has named its recipients, and opens the rounds with the identities that were on its disk.
    """
    with run(tmp_path, ("org-a", "org-b"), "cohort.cosignatures=2", "disclosure=none", "audit_window=0") as made:
        watching = [made.aggregate(name) for name in ("org-a", "org-b")]
        for each in watching:
            each.says("waiting for round 1")
        watching[0].kill()
        watching[0] = made.aggregate("org-a")
        watching[0].says("(?s)waiting for round 1.*waiting for round 1")
        holding = [made.join(name, "--accept") for name in NAMES]
        assert [each.ends() for each in (*holding, *watching, made.coordinator)] == [0] * 6, made.coordinator.said
        assert "round 3 is final: cosigned by org-a, org-b" in made.coordinator.said
    report = replay.Replay(folder.RunFolder(root=made.root), lambda *_: None).audit()
    assert report.rounds == 3
    assert report.cosignatures == 2
    assert "3" in report.final
    assert not report.lingering
    spoken = [each for each in said(made.root) if isinstance(each, words.Word)]
    assert len({(each.author, each.round) for each in spoken}) == len(spoken)
    for name in ("org-a", "org-b"):
        assert list((tmp_path / f"folkmoot-{name}" / "keys" / "rounds").glob("*.age")) == []


def test_nobody_but_the_honest_is_needed(tmp_path: Path) -> None:
    """44: of four aggregators one is silent, one disputes everything and one cosigns a commit that is none.

    The run goes on; the honest one makes each round final, and the others are named, to people and in the audit.
    """
    names = ("careless", "contrary", "honest", "silent")
    with run(tmp_path, names, "cohort.cosignatures=1") as made:
        kinds = (Careless, Contrary, aggregator.Aggregator, Silent)
        beside = [Beside(made, name, kind) for name, kind in zip(names, kinds, strict=True)]
        for each in beside[:3]:
            each.says("waiting for round 1")
        holding = [made.join(name, "--accept") for name in NAMES]
        assert [each.ends() for each in (*holding, made.coordinator)] == [0] * 4, made.coordinator.said
        for each in beside:
            each.join(20)
        assert "round 1 is final: cosigned by honest" in made.coordinator.said
        assert (
            "round 2: contrary disputes it (aggregate), careless is silent, silent is silent" in made.coordinator.said
        )
    report = replay.Replay(folder.RunFolder(root=made.root), lambda *_: None).audit()
    assert (report.final, report.pending) == ("1-3", 0)
    assert report.aggregators == {
        "careless": "silent in 1-3",
        "contrary": "disputes the aggregate of 1-3",
        "honest": "cosigned 1-3",
        "silent": "silent in 1-3",
    }


def test_a_word_is_kept_before_it_is_heard(tmp_path: Path) -> None:
    """39: after a crash the very same word is had again; a file that is another commit's, or damaged, is not taken for it."""
    kept = words.Words(root=tmp_path / "words")
    assert kept.on("c" * 64) is None
    word = statements.RoundDispute(author="org-a", run="a" * 64, round=2, commit="c" * 64, reason="credit")
    kept.keep(word)
    assert words.Words(root=tmp_path / "words").on("c" * 64) == word
    (tmp_path / "words" / ("d" * 64)).write_bytes((tmp_path / "words" / ("c" * 64)).read_bytes())
    with pytest.raises(statements.errors.StatementError, match="no word on that commit"):
        kept.on("d" * 64)


def test_holders_can_seal_whatever_aggregators_name(tmp_path: Path) -> None:
    """44: what is no recipient, of another kind, or somebody's already is left out, and so is who is revoked."""
    world = federation.Federation(tmp_path)
    good, other, own = (str(recipients.X25519Identity.generate().recipient) for _ in range(3))
    quantum = str(recipients.HybridIdentity.generate().recipient)
    named = {"ada": own, "bea": quantum, "cid": "age1" + "q" * 58, "dot": other, "eve": other, "fay": good}
    for name in named:
        key = keys.SigningKey.generate()
        enrol = statements.MemberEnrol(author=name, run=world.agreed.run, key=str(key.public))
        world.append(dsse.sign(statements.build(enrol), key))
        author = world.agreed.founder
        world.say(statements.MemberRole(author=author, run=world.agreed.run, member=name, role="aggregator"))
    before = dataclasses.replace(world.history, recipients=cosigning.Announced(rounds={1: named}))
    assert opening.readers(before, own) == (own, other, good)
    revoked = statements.MemberRevoke(author=world.agreed.founder, run=world.agreed.run, member="dot", reason="left")
    world.say(revoked)
    before = dataclasses.replace(world.history, recipients=cosigning.Announced(rounds={1: {"dot": other, "fay": good}}))
    assert opening.readers(before, own) == (own, good)
