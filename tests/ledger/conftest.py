"""An in-memory run with real keys, envelopes and fold, and a log on disk with hands to spoil it."""

import base64
import dataclasses
import hashlib
import sqlite3

import pytest

from ledger import context, dsse, history, keys, log, statements

COORDINATOR = "moot"
HOLDERS = ("ash", "birch", "cedar")
PLAN = {"credit": {"pool": 1_000}, "disclosure": "public"}


def cid(content: str) -> str:
    """CIDv1 of a raw block of these characters."""
    multihash = bytes.fromhex("01551220") + hashlib.sha256(content.encode()).digest()
    return "b" + base64.b32encode(multihash).decode().lower().rstrip("=")


class Run:
    """A log in memory and what it says; each method makes the statement that fits next."""

    def __init__(self, plan=None):
        self.keys = {name: keys.SigningKey.generate() for name in (COORDINATOR, *HOLDERS)}
        self.history = history.EMPTY
        self.envelopes = []
        self.plan = PLAN if plan is None else plan

    def sign(self, predicate, key=None):
        return dsse.sign(statements.build(predicate), key or self.keys[predicate.author])

    def say(self, predicate, key=None):
        envelope = self.sign(predicate, key)
        self.history = history.apply(self.history, len(self.envelopes), envelope)
        self.envelopes.append(envelope)
        return len(self.envelopes) - 1

    def refused(self, predicate, key=None):
        """The reason why a statement does not fit; that it changed nothing is asserted."""
        before, frozen = self.history, dataclasses.replace(self.history)
        with pytest.raises(history.errors.HistoryError) as caught:
            self.say(predicate, key)
        assert self.history is before
        assert before == frozen
        return caught.value.reason

    def genesis(self, **changes):
        key = str(self.keys[COORDINATOR].public)
        fields = {"author": COORDINATOR, "plan": self.plan, "key": key, "checkpoint": cid("start")}
        return statements.Genesis(**{**fields, **changes})

    def enrol(self, name, **changes):
        fields = {"author": name, "run": self.history.run or "a" * 64, "key": str(self.keys[name].public)}
        return statements.MemberEnrol(**{**fields, **changes})

    def role(self, name, **changes):
        fields = {"author": COORDINATOR, "run": self.history.run or "a" * 64, "member": name, "role": "holder"}
        return statements.MemberRole(**{**fields, **changes})

    def _of_round(self, author, fields, changes):
        opened = self.history.open_round
        number = opened.round if opened is not None else self.history.round + 1
        return {"author": author, "run": self.history.run or "a" * 64, "round": number, **fields, **changes}

    def open(self, **changes):
        fields = {
            "parent": self.history.checkpoint or cid("start"),
            "cohort": HOLDERS,
            "recipients": ("age1" + "q" * 58,),
            "exponents": (-12, 0),
            "task": "a" * 64,
            "rule": "b" * 64,
            "deadline": 60,
        }
        return statements.RoundOpen(**self._of_round(COORDINATOR, fields, changes))

    def offer(self, name, content="", **changes):
        fields = {
            "parent": self.history.checkpoint or cid("start"),
            "ciphertext": cid(f"update of {name} {content}"),
            "size": 10,
            "examples": 5,
            "saturated": 0,
            "runtime": {"torch": "2.13"},
        }
        offer = self._of_round(name, fields, changes)
        digest = context.context_digest(offer["run"], offer["round"], offer["parent"], name)
        return statements.UpdateOffer(**{"context": digest.hex(), **offer})

    def seal(self, **changes):
        fields = {"offers": tuple(seq for seq, _ in self.history.offers.values())}
        return statements.RoundSeal(**self._of_round(COORDINATOR, fields, changes))

    def commit(self, **changes):
        fields = {
            "accepted": HOLDERS[:2],
            "rejected": ((HOLDERS[2], "no-offer"),),
            "aggregate": cid("sum"),
            "checkpoint": cid(f"after round {self.history.round + 1}"),
            "correct": 1,
            "total": 2,
            "loss_micro": 3,
        }
        return statements.RoundCommit(**self._of_round(COORDINATOR, fields, changes))

    def credit(self, **changes):
        fields = {"pool": 1_000, "postings": (("ash", 600), ("birch", 400))}
        return statements.CreditTransfer(**self._of_round(COORDINATOR, fields, changes))

    def disclose(self, **changes):
        fields = {"identity": "AGE-SECRET-KEY-1" + "Q" * 58}
        return statements.RoundDisclose(**self._of_round(COORDINATOR, fields, changes))

    def until(self, phase):
        """This run, brought forward to a phase."""
        if self.history.phase == "empty":
            self.say(self.genesis())
            for name in HOLDERS:
                self.say(self.enrol(name))
                self.say(self.role(name))
        while self.history.phase != phase:
            match self.history.phase:
                case "idle":
                    self.say(self.open())
                case "open":
                    for name in HOLDERS[:2]:
                        self.say(self.offer(name, content=str(self.history.round)))
                    self.say(self.seal())
                case "sealed":
                    self.say(self.commit())
                case "committed":
                    self.say(self.credit())
                case "credited":
                    self.say(self.disclose())
        return self


@pytest.fixture
def run():
    return Run()


@pytest.fixture
def run_of():
    return Run


@pytest.fixture(name="cid")
def cid_of():
    return cid


ORIGIN = "folkmoot.test/log"


class Folder:
    """A folder for a log, and hands to read it and to spoil it."""

    def __init__(self, path):
        self.path = path
        self.key = keys.SigningKey.generate()
        self.envelopes = [dsse.sign(b'{"n":%d}' % n, self.key) for n in range(12)]

    def __truediv__(self, name):
        return self.path / name

    def open(self, *, origin=ORIGIN, read_only=False):
        return log.Log.open(self.path / "log.db", origin=origin, read_only=read_only)

    def read(self, **options):
        with self.open(**options) as record:
            return list(record.entries())

    def tamper(self, script, *values):
        connection = sqlite3.connect(self.path / "log.db")
        with connection:
            connection.execute(script, values)
        connection.close()

    def flip(self, column, seq, position, change=1):
        """Change one byte of one column of one row."""
        connection = sqlite3.connect(self.path / "log.db")
        [(value,)] = connection.execute(f"SELECT {column} FROM entry WHERE seq = ?", (seq,))
        spoiled = bytearray(value)
        spoiled[position % len(value)] ^= change
        with connection:
            connection.execute(f"UPDATE entry SET {column} = ? WHERE seq = ?", (bytes(spoiled), seq))
        connection.close()

    def unpublish(self):
        (self.path / "checkpoint").unlink()
        self.tamper("DELETE FROM checkpoint")


@pytest.fixture
def fresh(tmp_path):
    """A folder without a log."""
    return Folder(tmp_path)


@pytest.fixture
def folder(fresh):
    """A folder with a closed log of eight entries, published at five and at eight."""
    with fresh.open() as record:
        record.append(fresh.envelopes[:5], head=record.head)
        record.publish(fresh.key)
        record.append(fresh.envelopes[5:8], head=record.head)
        record.publish(fresh.key)
    return fresh
