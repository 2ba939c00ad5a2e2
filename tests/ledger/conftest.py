"""An in-memory run with real keys, envelopes and fold, and a log on disk with hands to spoil it."""

import base64
import contextlib
import dataclasses
import hashlib
import sqlite3

import pytest

from ledger import accounts, checkpoint, context, dsse, history, keys, log, membership, statements, transfers

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

    def decline(self, name, **changes):
        return statements.RoundDecline(**self._of_round(name, {"reason": "policy-rounds"}, changes))

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
        postings = transfers.payment({"ash": 600, "birch": 400})
        made = self._of_round(COORDINATOR, {"code": "round", "reverses": "", "postings": postings}, changes)
        return statements.CreditTransfer(**{"id": transfers.round_id(made["round"]), **made})

    def reversal(self, paid, **changes):
        """The transfer that takes back what another paid."""
        undone = {"id": transfers.reversal_id(paid.round), "code": "reversal", "reverses": paid.id}
        return dataclasses.replace(paid, **{**undone, "postings": transfers.opposite(paid.postings), **changes})

    def rotate(self, name, new, **changes):
        present = self.history.members[name].key if name in self.history.members else self.keys[name].public
        made = membership.rotation(self.history.run or "a" * 64, name, present, new)
        return dataclasses.replace(made, **changes)

    def revoke(self, name, **changes):
        fields = {"author": COORDINATOR, "run": self.history.run or "a" * 64, "member": name, "reason": "key-stolen"}
        return statements.MemberRevoke(**{**fields, **changes})

    def cosign(self, name, **changes):
        """The cosignature of the last commit."""
        rounds = [each for each in (self.history.current, self.history.finished) if each is not None and each.commit]
        fields = {"commit": rounds[0].commit_eid if rounds else "c" * 64}
        number = rounds[0].open.round if rounds else 1
        return statements.RoundCosign(**self._of_round(name, {**fields, "round": number}, changes))

    def dispute(self, name, **changes):
        """The word of one that has come to something else than the last commit."""
        cosign = self.cosign(name)
        fields = {"round": cosign.round, "commit": cosign.commit, "reason": "aggregate"}
        return statements.RoundDispute(**self._of_round(name, fields, changes))

    def recipient(self, name, number, recipient, **changes):
        """Whom an aggregator wants updates of a round sealed to."""
        return statements.RoundRecipient(**self._of_round(name, {"round": number, "recipient": recipient}, changes))

    def aggregator(self, name="oak"):
        """Enrol one more member as an aggregator."""
        self.keys[name] = keys.SigningKey.generate()
        self.say(self.enrol(name))
        self.say(self.role(name, role="aggregator"))
        return name

    def disclose(self, **changes):
        fields = {"identity": "AGE-SECRET-KEY-1" + "Q" * 58}
        return statements.RoundDisclose(**self._of_round(COORDINATOR, fields, changes))

    def destroy(self, number, **changes):
        fields = {"recipient": "age1" + "q" * 58}
        return statements.RoundDestroy(**self._of_round(COORDINATOR, {**fields, "round": number}, changes))

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


@pytest.fixture(scope="session")
def run_of():
    return Run


@pytest.fixture(name="cid")
def cid_of():
    return cid


ORIGIN = "folkmoot.test/log"


class Folder:
    """A folder for a log in SQLite, and hands to read it and to spoil it."""

    files = ("log.db",)
    """What the store keeps in the folder."""

    def __init__(self, path):
        self.path = path
        self.key = keys.SigningKey.generate()
        self.envelopes = [dsse.sign(b'{"n":%d}' % n, self.key) for n in range(12)]

    def __truediv__(self, name):
        return self.path / name

    @property
    def place(self):
        return self.path / "log.db"

    def open(self, *, origin=ORIGIN, read_only=False):
        return log.Log.open(self.place, origin=origin, published=self.path / "checkpoint", read_only=read_only)

    def read(self, **options):
        with self.open(**options) as record:
            return list(record.entries())

    def tamper(self, script, *values):
        """Run one statement behind the log's back; its rows."""
        connection = sqlite3.connect(self.place)
        with connection:
            rows = connection.execute(script, values).fetchall()
        connection.close()
        return rows

    def flip(self, column, seq, position, change=1):
        """Change one byte of one column of one row; once more, and it is as it was."""
        [(value,)] = self.tamper(f"SELECT {column} FROM entry WHERE seq = ?", seq)
        self.tamper(f"UPDATE entry SET {column} = ? WHERE seq = ?", spoiled(value, position, change), seq)

    def flip_node(self, level, place):
        """Change one byte of a stored node."""
        [(value,)] = self.tamper("SELECT hash FROM node WHERE level = ? AND i = ?", level, place)
        self.tamper("UPDATE node SET hash = ? WHERE level = ? AND i = ?", spoiled(value, 3, 1), level, place)

    def unpublish(self):
        (self.path / "checkpoint").unlink()
        self.tamper("DELETE FROM checkpoint")

    def copy(self):
        """All rows."""
        return {table: self.tamper(f"SELECT * FROM {table}") for table in ("entry", "node", "checkpoint")}

    def put_back(self, copy):
        """All rows as they were, or as another log has them."""
        for table, rows in copy.items():
            self.tamper(f"DELETE FROM {table}")
            if rows:
                self.insert(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    def insert(self, script, rows):
        with contextlib.closing(sqlite3.connect(self.place)) as connection, connection:
            connection.executemany(script, rows)


class ServedFolder(Folder):
    """A folder for the checkpoint of a log on a PostgreSQL server."""

    files = ()

    def __init__(self, path, server):
        super().__init__(path)
        self.server = server
        self.url, self.schema = server.url()

    @property
    def place(self):
        return self.url

    def tamper(self, script, *values):
        return self.server.execute(script.replace("?", "%s"), *values, schema=self.schema)

    def insert(self, script, rows):
        self.server.insert(script.replace("?", "%s"), rows, schema=self.schema)


def spoiled(value, position, change):
    changed = bytearray(value)
    changed[position % len(value)] ^= change
    return bytes(changed)


def made(kind, path, request):
    return Folder(path) if kind == "sqlite" else ServedFolder(path, request.getfixturevalue("server"))


@pytest.fixture(params=["sqlite", "postgres"])
def fresh(tmp_path, request):
    """A folder without a log, for each store."""
    return made(request.param, tmp_path, request)


@pytest.fixture
def folder(fresh):
    """A folder with a closed log of eight entries, published at five and at eight."""
    with fresh.open() as record:
        record.append(fresh.envelopes[:5], head=record.head)
        record.publish(fresh.key)
        record.append(fresh.envelopes[5:8], head=record.head)
        record.publish(fresh.key)
    return fresh


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def long_folder(tmp_path_factory, request):
    """A folder with a closed log of 1,300 entries, published at 700; nobody may change it."""
    long = made(request.param, tmp_path_factory.mktemp("long"), request)
    many = [dsse.sign(b"%d" % n, long.key) for n in range(1_300)]
    with long.open() as record:
        record.append(many[:700], head=record.head)
        record.publish(long.key)
        record.append(many[700:], head=record.head)
    return long


@pytest.fixture
def grown_copy(long_folder):
    """The same, to spoil; afterwards it is as it was."""
    rows, note = long_folder.copy(), (long_folder / "checkpoint").read_bytes()
    yield long_folder
    long_folder.put_back(rows)
    (long_folder / "checkpoint").write_bytes(note)


class Paid:
    """A run of eight contributors and thirty rounds, one of them taken back, the coordinator's key changed on the way.

    Attributes:
        run: What said it all.
        names: The contributors.
        path: Folder of the log on disk, published once at its end.
        key: The log's.
        entries: Its entries, as read back.
        note: Its signed checkpoint.
    """

    ROUNDS = 30
    REVERSED = 17

    def __init__(self, path):
        self.path, self.names = path, tuple(f"holder-{number:02}" for number in range(8))
        self.run = Run({"credit": {"pool": 1_000_000}, "disclosure": "none"})
        self.run.keys |= {name: keys.SigningKey.generate() for name in self.names}
        self.run.say(self.run.genesis())
        for name in self.names:
            self.run.say(self.run.enrol(name))
            self.run.say(self.run.role(name))
        for number in range(1, self.ROUNDS + 1):
            self._round(number)
            if number == 10:
                new = keys.SigningKey.generate()
                self.run.say(self.run.rotate(COORDINATOR, new))
                self.run.keys[COORDINATOR] = new
            if number == 25:
                self.run.say(self.run.reversal(self.credits[self.REVERSED - 1]))
        self.key = self.run.keys[COORDINATOR]
        with self.open() as record:
            record.append(self.run.envelopes, head=record.head)
            self.note = record.publish(self.key)
            self.entries = list(record.entries())

    def _round(self, number):
        self.run.say(self.run.open(cohort=self.names))
        for name in self.names:
            self.run.say(self.run.offer(name))
        self.run.say(self.run.seal())
        self.run.say(self.run.commit(accepted=self.names, rejected=()))
        # In every round others have no weight, and in one round nobody has: a share of 0 is no posting.
        weights = {name: (number + place**3) % 11 if number != 29 else 0 for place, name in enumerate(self.names)}
        self.run.say(self.run.credit(postings=transfers.payment(accounts.split(1_000_000, weights))))

    @property
    def credits(self):
        said = (statements.parse(envelope.payload) for envelope in self.run.envelopes)
        return [each for each in said if isinstance(each, statements.CreditTransfer) and each.code == "round"]

    def open(self):
        return log.Log.open(self.path / "log.db", origin=ORIGIN)

    def transfers(self):
        return accounts.transfers(self.entries)

    def verify(self, signed):
        return checkpoint.verify(signed, ORIGIN, self.key.public)


@pytest.fixture(scope="session")
def paid(tmp_path_factory):
    """Credit of thirty rounds; nobody may change it."""
    return Paid(tmp_path_factory.mktemp("paid"))
