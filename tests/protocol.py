"""The examples of docs/protocol.md: read from the document, and made again by the code.

An example is a fenced block whose first line reads, after three backticks, `json example=NAME` or `text example=NAME`.

    python -m tests.protocol docs/protocol.md     make all of them again, and write them into the file

Keys, weights and updates are fixed, so all is reproducible but the sealed updates: sealing draws random bytes. Those of the
document are kept as long as they still belong to its run.
"""

import base64
import dataclasses
import functools
import hashlib
import importlib.resources
import io
import json
import re
import sys
import tempfile
import textwrap
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from cryptography.hazmat.primitives.asymmetric import ed25519

from aggregation import (
    carry,
    credit,
    divide_and_conquer,
    lattice,
    outer,
    recipe,
    rules,
    scorers,
    shapley,
    sketch,
    standing,
)
from aggregation import memory as rule_memory
from client import agreement, checkpoint, invitation, plan, seeds, taskplan, training, update
from exchange import blocks, car, cid, content, reading, recipients, sealing, tensors, unixfs
from exchange import errors as exchange_errors
from ledger import (
    account_statement,
    accounts,
    bookkeeping,
    canonical,
    context,
    cosignature,
    distribution,
    dsse,
    fields,
    history,
    keys,
    leaf,
    log,
    membership,
    memory,
    merkle,
    note,
    payout,
    proof,
    publication,
    scores,
    statements,
    tiles,
    transfers,
    witness,
)
from ledger import checkpoint as log_checkpoint
from ledger import errors as ledger_errors
from orchestrator import bundling, fold, founding, journal, opening, optimizer, settlement
from tests import bundles

BLOCK = re.compile(r"^```(\w+) example=([\w.-]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
HOLDERS = ("holder-00", "holder-01", "holder-02")
GARBAGE = b"not an age file\n"
PLAN = plan.Plan(
    seed=7,
    rounds=1,
    disclosure="public",
    audit_window=2,
    task=taskplan.DigitsPlan(
        name="digits",
        holders=3,
        alpha=0.5,
        hidden=1,
        epochs=1,
        batch=32,
        learning_rate=0.1,
        momentum=0.9,
        batches=0,
        update_momentum=0.0,
    ),
    rule=plan.RulePlan(name="mean", pre="none", byzantine=0),
    outer=plan.OuterPlan(
        name="sgd", learning_rate=0.75, momentum=0.0, beta2=0.0, tau=1.0, late_rounds=0, late_factor=1.0
    ),
    privacy=plan.PrivacyPlan(clip_norm=4.0, noise_multiplier=0.0),
    lattice=plan.LatticePlan(headroom_bits=3),
    cohort=plan.CohortPlan(members="fixed", size=0, minimum=0, enough=0, deadline=600, cosignatures=0),
    credit=plan.CreditPlan(
        pool=1_000_000,
        method="gram",
        screened=False,
        examples=0,
        schedule="proportional",
        rate=0,
        floor=0,
        cap=0,
    ),
)
NONE = dataclasses.replace(PLAN.outer, learning_rate=0.1)
OUTER = (
    NONE,
    dataclasses.replace(NONE, name="nesterov", momentum=0.9),
    dataclasses.replace(NONE, name="adam", momentum=0.9, beta2=0.99, tau=0.001),
    dataclasses.replace(NONE, name="yogi", momentum=0.9, beta2=0.99, tau=0.001),
)
RUNTIME = {"device": "cpu", "dtype": "float32", "threads": "1", "torch": "2.13.0"}
CANONICAL: list[canonical.Json] = [
    {"b": [True, False, None], "a b": 'é "\\\b\t\n\f\r\x00\x1f/', "A": -(2**53 - 1), "": []},
    {"clef": "\U0001d11e", "v": 1},
    functools.reduce(lambda inner, _: [inner], range(32), []),
]
NOT_CANONICAL = (
    '{"b":1,"a":2}',
    '{"a":1, "b":2}',
    '{"a":1,"a":1}',
    '{"é":1}',
    "1.0",
    "1e3",
    "-0",
    "01",
    "9007199254740992",
    '"\\/"',
    '"\\u00E9"',
    '"\\u001F"',
    '"\\ud800"',
    "[" * 34 + "]" * 34,
    "",
)
UPDATES = [
    [12, 205, -7, 100],
    [-41, 95, -88, 90],
    [73, -16, 8, -140],
    [2, 157, 9, 260],
    [114, 3, -260, 95],
    [30, 190, -70, -35],
    [260, -190, 180, -320],
]
START = [2, 4, -5, 60]
PRES = ("none", "nnm", "arc", "clip:200+bucketing:2")
# Rules that withstand nobody: the mean ever, and those that need more rows than the buckets of seven.
UNSUITED = {PRES[-1]: ("mean", "krum", "multi_krum", "bulyan")}
MATRIX = [[0, 5, -7, 100], [1, 5, -8, 90], [3, 6, -8, -100], [2, 7, 9, 110], [900, -900, 1, 32767]]


def examples(text: str) -> dict[str, str]:
    """The document's examples by name, each ending with its last line's end."""
    found = BLOCK.findall(text)
    names = [name for _, name, _ in found]
    assert len(names) == len(set(names)), "two examples of one name"
    return {name: body for _, name, body in found}


def built(sealed: Mapping[str, bytes]) -> dict[str, str]:
    """The examples as the code makes them, `sealed` being ciphertexts by holder to use where they fit."""
    made = Run(sealed)
    return vectors() | made.examples()


def read_block(text: str) -> tuple[str, bytes]:
    """(CID, bytes) of an example that holds a file."""
    name, *encoded = text.splitlines()
    return name, base64.b64decode("".join(encoded))


def read_sealed(found: Mapping[str, str]) -> dict[str, bytes]:
    """The document's ciphertexts by holder."""
    names = {name: f"block-update-{name}" for name in HOLDERS}
    return {name: read_block(found[block])[1] for name, block in names.items() if found.get(block)}


class Run:
    """A run of three holders and one round, made of fixed keys: fifteen entries and six files."""

    def __init__(self, sealed: Mapping[str, bytes]) -> None:
        self.keys = {name: signing_key(number) for number, name in enumerate(("coordinator", *HOLDERS), start=1)}
        self.identity = recipients.X25519Identity(raw=b"\x09" * 32)
        self.blocks: dict[str, tuple[str, bytes]] = {}
        self.entries: list[leaf.Entry] = []
        self.known = history.EMPTY
        self._found()
        self.agreed = agreement.Agreement.read(self.entries[0].envelope)
        self.opened = self._open()
        for number, name in enumerate(HOLDERS):
            self._offer(name, number, sealed.get(name, b""))
        self._close()

    def get(self, name: str, *, limit: int = 2**24) -> bytes:
        """Bytes by CID."""
        data = next(data for other, data in self.blocks.values() if other == name)
        assert len(data) <= limit
        return data

    def examples(self) -> dict[str, str]:
        """The run's examples."""
        shown = {_type(entry): entry.envelope.payload.decode() + "\n" for entry in reversed(self.entries)}
        for statement in self.following():
            name = "reversal" if isinstance(statement, statements.CreditTransfer) else _kind(statement)
            shown.setdefault(name, statements.build(statement).decode() + "\n")
        for statement in (self.destruction(), *self.scores()):
            shown[_kind(statement)] = statements.build(statement).decode() + "\n"
        shown["envelope"] = self.entries[4].envelope.to_bytes().decode() + "\n"
        shown["log"] = "".join(entry.leaf.decode() + "\n" for entry in self.entries)
        shown["hashes"] = _lines(self._hashes())
        origin = journal.origin(self.keys["coordinator"].public.fingerprint)
        for size in (7, 15):
            root = merkle.root(size, merkle.over([entry.hash for entry in self.entries]))
            promise = log_checkpoint.LogCheckpoint(origin=origin, size=size, root=root)
            shown[f"note-{size}"] = log_checkpoint.sign(promise, self.keys["coordinator"]).decode()
        shown |= self._published()
        shown |= self._witnessed(origin, shown["note-15"].encode())
        shown |= self._accounts(shown["note-15"])
        for name, (link, data) in self.blocks.items():
            encoded = textwrap.wrap(base64.b64encode(data).decode(), 100)
            shown[f"block-{name}"] = "\n".join([link, *encoded]) + "\n"
        return shown

    def destruction(self) -> statements.RoundDestroy:
        """What would be said of the round's identity, if the run did not disclose it."""
        (recipient,) = self.opened.recipients
        return statements.RoundDestroy(author=founding.COORDINATOR, run=self.agreed.run, round=1, recipient=recipient)

    def scores(self) -> list[scores.Said]:
        """What would be said of the round, if the plan had scorers."""
        of: Mapping[str, typing.Any] = {"run": self.agreed.run, "round": 1}
        reveal = scorers.Reveal(salt=b"\x07" * 32, scores=(120_345, -77, 0))
        bound = scorers.commitment(self.agreed.run, 1, HOLDERS[0], reveal)
        models = torch.tensor([[0.0, 1.0], [0.5, -1.0], [0.25, 2.0], [-0.0, 1.0]])
        return [
            scores.ScoreCommit(author=HOLDERS[0], **of, candidates=scorers.digest(models), commitment=bound),
            scores.ScoreClose(author=founding.COORDINATOR, **of),
            scores.ScoreReveal(author=HOLDERS[0], **of, salt=reveal.salt.hex(), scores=reveal.scores),
        ]

    def following(self) -> list[statements.Predicate]:
        """Statements that may follow the last entry, in this order: for the examples of types that the run itself lacks."""
        run, coordinator = self.agreed.run, founding.COORDINATOR
        watcher = signing_key(6)
        commit = next(entry.eid for entry in self.entries if _type(entry) == "round.commit")
        return [
            membership.rotation(run, HOLDERS[0], self.keys[HOLDERS[0]].public, signing_key(5)),
            statements.MemberRevoke(author=coordinator, run=run, member=HOLDERS[2], reason="key-stolen"),
            statements.MemberEnrol(author="watcher", run=run, key=str(watcher.public)),
            statements.MemberRole(author=coordinator, run=run, member="watcher", role="aggregator"),
            statements.RoundCosign(author="watcher", run=run, round=1, commit=commit),
            statements.MemberEnrol(author="referee", run=run, key=str(signing_key(7).public)),
            statements.MemberRole(author=coordinator, run=run, member="referee", role="aggregator"),
            statements.RoundDispute(author="referee", run=run, round=1, commit=commit, reason="aggregate"),
            statements.RoundRecipient(author="watcher", run=run, round=2, recipient=self._reader()),
            self._reversal(),
            dataclasses.replace(
                self.opened,
                round=2,
                parent=self.known.checkpoint or "",
                cohort=HOLDERS[:2],
                recipients=(str(recipients.X25519Identity(raw=b"\x0b" * 32).recipient), self._reader()),
            ),
            statements.RoundDecline(author=HOLDERS[1], run=run, round=2, reason="policy-rounds-per-day"),
        ]

    def _reader(self) -> str:
        """The recipient that the watcher names for the second round."""
        return str(recipients.X25519Identity(raw=b"\x0a" * 32).recipient)

    def _reversal(self) -> statements.CreditTransfer:
        paid = next(
            statements.parse(each.envelope.payload) for each in self.entries if _type(each) == "credit.transfer"
        )
        assert isinstance(paid, statements.CreditTransfer)
        undone = {"id": transfers.reversal_id(1), "code": "reversal", "reverses": paid.id}
        return dataclasses.replace(paid, **undone, postings=transfers.opposite(paid.postings))

    def _published(self) -> dict[str, str]:
        """The files of the published log, and a proof file."""
        key = self.keys["coordinator"]
        with tempfile.TemporaryDirectory() as name:
            where = Path(name)
            with log.Log.open(where / "log", origin=journal.origin(key.public.fingerprint)) as record:
                for first, size in ((0, 7), (7, 15)):
                    record.append([entry.envelope for entry in self.entries[first:size]], head=record.head)
                    signed = record.publish(key)
                publication.publish(record, where / "served")
                path = tuple(record.inclusion(8, 15))
                bundled = self._bundled(record)
            files = sorted(path for path in (where / "served").rglob("*") if path.is_file())
            rows = [(str(file.relative_to(where / "served")), file.read_bytes()) for file in files]
        said = [{"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in rows]
        return {
            "published": _lines(said),
            "tlog-proof": proof.Proof(index=8, path=path, note=signed).to_bytes().decode(),
            "bundle-index": json.dumps(bundles.index(bundled), ensure_ascii=False, separators=(",", ":")) + "\n",
            "bundle": _lines(self._framed(bundled)),
        }

    def _bundled(self, record: log.Log) -> bytes:
        """The run's bundle, for which an audit reads each of its files."""
        held = {cid.Cid.parse(link): data for link, data in self.blocks.values()}
        noted = reading.Noted(lambda name, limit: held[name])
        noted.names = set(held)
        published = record.last_note() or b""
        wanted = bundling.Contents(record=record, published=published, notes=dict(record.notes()), noted=noted)
        return b"".join(bundling.encode(wanted))

    def _framed(self, bundled: bytes) -> Iterable[object]:
        """Header and sections of the bundle, and all of it."""
        index = bundles.index(bundled)
        holds = {link: name for name, (link, _) in self.blocks.items()} | {str(bundles.root(bundled)): "the index"}
        holds |= dict(zip(index["tiles"], ["tile/entries/000.p/15", "tile/0/000.p/15"], strict=True))
        length = ""
        for part in bundles.framed(bundled):
            if part.kind == "header":
                yield {"at": 0, "header": bundled[: part.stop].hex()}
            elif part.kind == "length":
                length = bundled[part.start : part.stop].hex()
                at = part.start
            elif part.block is not None:
                link = str(part.block)
                yield {"at": at, "length": length, "cid": link, "bytes": part.stop - part.start, "holds": holds[link]}
        yield {"bytes": len(bundled), "sha256": hashlib.sha256(bundled).hexdigest()}

    def _accounts(self, signed: str) -> dict[str, str]:
        """What is read of credit: an account statement, and the exports."""
        node, member = merkle.over([entry.hash for entry in self.entries]), HOLDERS[0]
        chosen = account_statement.select(self.entries, member)
        shown = account_statement.build(
            member, chosen, signed.encode(), 15, lambda index, size: merkle.inclusion_proof(index, size, node)
        )
        paid = list(accounts.transfers(self.entries))
        reversal = dsse.sign(statements.build(self._reversal()), self.keys["coordinator"])
        both = [*paid, *accounts.transfers([leaf.Entry.chain(15, self.entries[-1].hash.hex(), reversal)])]
        addresses = {name: f"0x{number:040x}" for number, name in enumerate(HOLDERS, start=1)}
        token = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
        return {
            "account-statement": shown.decode() + "\n",
            "beancount": "".join(bookkeeping.beancount(both)),
            "hledger": "".join(bookkeeping.hledger(both)),
            "postings": "".join(bookkeeping.table(both)),
            "distribution": "".join(distribution.table(paid, addresses, token=token)),
        }

    def _witnessed(self, origin: str, signed: bytes) -> dict[str, str]:
        """A witness that cosigned 7 entries is asked about 15; and a policy that wants its cosignature."""
        signer = cosignature.Signer(name="witness.example/w1", key=signing_key(7))
        verifier = note.Verifier(name=origin, key=self.keys["coordinator"].public)
        node = merkle.over([entry.hash for entry in self.entries])
        first = log_checkpoint.LogCheckpoint(origin=origin, size=7, root=merkle.root(7, node))
        before = witness.Request(old=0, proof=(), note=log_checkpoint.sign(first, self.keys["coordinator"]))
        request = witness.Request(old=7, proof=tuple(merkle.consistency_proof(7, 15, node)), note=signed)
        with tempfile.TemporaryDirectory() as name:
            keeper = witness.Witness(memory.Memory(Path(name)), [signer], {origin: [verifier]})
            keeper.add_checkpoint(before.to_bytes(), 1_600_000_000)
            answer = keeper.add_checkpoint(request.to_bytes(), 1_700_000_000)
        named = f"witness w1 {note.vkey(signer.verifier)} https://witness.example/w1"
        return {
            "witness-request": request.to_bytes().decode(),
            "witness-answer": answer.body.decode(),
            "policy": f"log {note.vkey(verifier)}\n{named}\nquorum w1\n",
        }

    def _hashes(self) -> Iterable[object]:
        for entry in self.entries:
            root = merkle.root(entry.seq + 1, merkle.over([each.hash for each in self.entries]))
            yield {"eid": entry.eid, "leaf": entry.hash.hex(), "root": root.hex(), "seq": entry.seq}

    def _say(self, statement: statements.Predicate) -> None:
        envelope = dsse.sign(statements.build(statement), self.keys[statement.author])
        head = self.entries[-1].hash.hex() if self.entries else leaf.NO_HEAD
        entry = leaf.Entry.chain(len(self.entries), head, envelope)
        self.known = history.apply(self.known, entry.seq, envelope)
        self.entries.append(entry)

    def _keep(self, name: str, data: bytes) -> str:
        link = str(unixfs.of(data))
        self.blocks[name] = (link, data)
        return link

    def _found(self) -> None:
        weights = torch.tensor([((37 * i) % 17 - 8) / 16 for i in range(85)], dtype=torch.float32)
        specs = [
            tensors.TensorSpec(name="0.weight", shape=(1, 64)),
            tensors.TensorSpec(name="0.bias", shape=(1,)),
            tensors.TensorSpec(name="2.weight", shape=(10, 1)),
            tensors.TensorSpec(name="2.bias", shape=(10,)),
        ]
        start = self._keep("checkpoint-0", checkpoint.encode(weights, specs, round_number=0, parent=""))
        line = str(self.keys["coordinator"].public)
        self._say(statements.Genesis(author=founding.COORDINATOR, plan=PLAN.to_record(), key=line, checkpoint=start))
        run = self.entries[0].eid
        for name in HOLDERS:
            self._say(statements.MemberEnrol(author=name, run=run, key=str(self.keys[name].public)))
        for name in HOLDERS:
            self._say(statements.MemberRole(author=founding.COORDINATOR, run=run, member=name, role="holder"))

    def _open(self) -> statements.RoundOpen:
        prescribed = opening.prescribe(self.agreed, self.known, str(self.identity.recipient), self.get)
        # The digest of the task's code changes with the code, and an example must not.
        opened = dataclasses.replace(prescribed, task="7a" * 32)
        self._say(opened)
        return opened

    def _offer(self, name: str, number: int, kept: bytes) -> None:
        bound = context.context_digest(self.agreed.run, 1, self.agreed.checkpoint, name)
        data = GARBAGE if number == 2 else self._sealed(number, bound, kept)
        offer = statements.UpdateOffer(
            author=name,
            run=self.agreed.run,
            round=1,
            parent=self.agreed.checkpoint,
            ciphertext=self._keep(f"update-{name}", data),
            size=len(data),
            examples=479,
            saturated=0,
            context=bound.hex(),
            runtime=RUNTIME,
        )
        self._say(offer)

    def _sealed(self, number: int, bound: bytes, kept: bytes) -> bytes:
        integers = torch.tensor([(i % 7 - 3) * (100 - 40 * number) + i % 2 for i in range(85)], dtype=torch.int16)
        file = b"".join(update.pieces(integers, self.agreed.specs, context=bound))
        try:
            if sealing.unseal(kept, identities=[self.identity], context=bound) == file:
                return kept
        except exchange_errors.SealError:
            pass
        return sealing.seal(file, recipients=[self.identity.recipient], context=bound)

    def _close(self) -> None:
        positions = tuple(sorted(seq for seq, _ in self.known.offers.values()))
        self._say(statements.RoundSeal(author=founding.COORDINATOR, run=self.agreed.run, round=1, offers=positions))
        offers = settlement.sealed_offers(self.known)
        parent = checkpoint.decode(self.get(self.agreed.checkpoint), self.agreed.checkpoint, self.agreed.specs)
        with tempfile.TemporaryDirectory() as name:
            store = blocks.BlockStore(Path(name), fsync="never")
            for _, data in self.blocks.values():
                store.put(data)
            outcome = settlement.settle(self.agreed, self.opened, offers, str(self.identity), parent, store)
        self._keep("aggregate", outcome.aggregate_file)
        self._keep("checkpoint-1", outcome.checkpoint_file)
        judged = training.Judged(correct=36, total=360, loss=2.302585)
        closing = settlement.closing(outcome, self.agreed, self.opened, str(self.identity), judged)
        for statement in (closing.commit, closing.credit, closing.disclose):
            assert statement is not None
            self._say(statement)


def vectors() -> dict[str, str]:
    """The examples that stand alone."""
    schema = importlib.resources.files("ledger").joinpath("schema.sql").read_text()
    return {
        "canonical": "".join(canonical.encode(value).decode() + "\n" for value in CANONICAL),
        "canonical-refused": _lines(_refused()),
        "schema": schema,
        "keys": _lines(_keys()),
        "pae": _lines([_pae(b"{}"), _pae("é".encode())]),
        "seeds": _lines(_seeds()),
        "cohort": _lines(_cohort()),
        "invitation": _lines(_invitations()),
        "rule-digest": _lines(
            [{"digest": PLAN.rule.digest(), "record": canonical.encode(PLAN.rule.to_record()).decode()}]
        ),
        "exponents": _lines(_exponents()),
        "encode": _lines(_encode()),
        "refine": _lines(_refine()),
        "tensors": _lines([_tensors()]),
        "content": _lines([_content()]),
        "cid": _lines(_cids()),
        "car": _lines([_car()]),
        "draw": _lines([_draw()]),
        "carry": _lines(_carry()),
        "standing": _lines(_standing()),
        "drawings": _lines(_drawings()),
        "rules": _lines(_rules()),
        "outer": _lines(_outer()),
        "outer-state": _lines([_outer_state()]),
        "credit": _lines(_credit()),
        "split": _lines(_split()),
        "sketch": _lines([_sketch()]),
        "secant": _lines(_secant()),
        "payout": _lines(_payouts()),
        "scoring": _lines(_scoring()),
        "tiles": _lines(_tiles()),
    }


def _refused() -> Iterable[object]:
    for text in NOT_CANONICAL:
        try:
            canonical.decode(text.encode())
        except ledger_errors.StatementError as error:
            yield {"text": text, "code": error.code}


def signing_key(number: int) -> keys.SigningKey:
    """The key whose 32-byte seed repeats one byte."""
    return keys.SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


def _keys() -> Iterable[object]:
    for number, name in enumerate(("coordinator", *HOLDERS), start=1):
        public = signing_key(number).public
        yield {
            "name": name,
            "seed": (bytes([number]) * 32).hex(),
            "line": str(public),
            "fingerprint": public.fingerprint,
        }
    public = signing_key(1).public
    origin = journal.origin(public.fingerprint)
    yield {"name": "coordinator", "origin": origin, "vkey": note.vkey(note.Verifier(name=origin, key=public))}


def _pae(payload: bytes) -> object:
    signed = dsse.pae(dsse.PAYLOAD_TYPE, payload)
    envelope = dsse.sign(payload, signing_key(1))
    return {"payload": payload.hex(), "pae": signed.hex(), "eid": envelope.eid, "sig": envelope.signatures[0][1].hex()}


def _seeds() -> Iterable[object]:
    for seed, number, member, purpose in ((0, 1, "holder-00", "batches"), (7, 0, "", "partition")):
        value = seeds.derive(seed, round_number=number, member=member, purpose=purpose)
        yield {"seed": seed, "round": number, "member": member, "purpose": purpose, "value": str(value)}


def _invitations() -> Iterable[object]:
    for name, seed in (("alice", bytes(32)), ("ward-7", bytes(range(32)))):
        made = invitation.Invitation(run="f1" * 32, name=name, seed=seed)
        record = {"key": seed.hex(), "name": name, "run": made.run}
        yield {**record, "public": str(made.key.public), "text": made.text}


def _cohort() -> Iterable[object]:
    parent = str(cid.Cid.of_block(cid.RAW, b""))
    names = founding.member_names(5)
    key = signing_key(1).public
    members = {name: membership.Member(name=name, key=key, role="holder", enrolled_at=1) for name in names}
    known = history.History(members=members, checkpoint=parent)
    for size in (0, 2, 3):
        yield {"parent": parent, "holders": names, "size": size, "cohort": opening.cohort(known, size=size)}


def _exponents() -> Iterable[object]:
    for weights, headroom in (
        ([0.5, -0.25], 3),
        ([0.0, 0.0], 3),
        ([32767.0, 1.0], 0),
        ([32767.5, 1.0], 0),
        ([1e-30], 0),
    ):
        flat = torch.tensor(weights, dtype=torch.float32)
        found = lattice.initial([1] * len(weights), flat, headroom_bits=headroom)
        yield {"weights": weights, "headroom_bits": headroom, "exponents": found.exponents}
    for aggregate, headroom in (([256, 0], 3), ([-2097153, 2097088], 2), ([1, -1], 15)):
        on = lattice.Lattice(sizes=(1, 1), exponents=(-16, 4))
        found = lattice.following(on, torch.tensor(aggregate, dtype=torch.int32), headroom_bits=headroom)
        yield {"before": on.exponents, "aggregate": aggregate, "headroom_bits": headroom, "exponents": found.exponents}


def _encode() -> Iterable[object]:
    on = lattice.Lattice(sizes=(7,), exponents=(-3,))
    values = [0.0625, 0.1875, -0.0625, 0.0626, 4095.875, 4095.9375, -5000.0]
    encoded = lattice.encode(on, torch.tensor(values, dtype=torch.float32))
    yield {"exponent": -3, "values": values, "integers": encoded.integers.tolist(), "saturated": encoded.saturated}


def _refine() -> Iterable[object]:
    for total, divisor in ((1, 3), (-1, 3), (1, 512), (3, 512), (-3, 512), (32767, 1)):
        aggregate = torch.tensor([total], dtype=torch.float64) / divisor
        yield {"sum": total, "divisor": divisor, "refined": lattice.refine(aggregate).tolist()[0]}


SPECS = (tensors.TensorSpec(name="w", shape=(2, 3)), tensors.TensorSpec(name="b", shape=(2,)))


def _tensors() -> dict[str, str]:
    integers = torch.tensor([1, -1, 2, -2, 32767, -32767, 0, 256], dtype=torch.int16)
    file = b"".join(update.pieces(integers, SPECS, context=bytes(range(32))))
    size = int.from_bytes(file[:8], "little")
    return {"length": file[:8].hex(), "header": file[8 : 8 + size].decode(), "data": file[8 + size :].hex()}


def _content() -> object:
    data = bytes.fromhex(_tensors()["data"])
    return {"content": content.digest(SPECS, dtype="I16", data=data).hex()}


def _cids() -> Iterable[object]:
    for size in (0, 1, 2**20, 2**20 + 1):
        found: dict[str, bytes] = {}
        root = unixfs.assemble(unixfs.slices(memoryview(bytes(size))), functools.partial(_note_node, found))
        yield {"zeros": size, "cid": str(root.cid), "nodes": [block.hex() for block in found.values()]}


def _car() -> object:
    root, pieces = car.of_file(io.BytesIO(b"a"))
    return {"cid": str(root.cid), "car": b"".join(map(bytes, pieces)).hex()}


def _note_node(found: dict[str, bytes], name: cid.Cid, block: bytes | memoryview) -> None:
    if name.codec == cid.DAG_PB:
        found[str(name)] = bytes(block)


def _rules() -> Iterable[object]:
    draw = _draw()["draw"]
    yield {"matrix": UPDATES, "start": START, "draw": draw}
    for pre in PRES:
        for rule in rules.RULES:
            anchored, f = rule == rule_memory.STARTING, 0 if rule in UNSUITED.get(pre, ("mean",)) else 1
            method = recipe.Method(rule=rule, pre=pre, byzantine=f, draw=bytes.fromhex(draw), anchored=anchored)
            matrix = torch.tensor([*UPDATES, START] if anchored else UPDATES, dtype=torch.int16)
            found = lattice.refine(recipe.aggregate(matrix, method))
            yield {"pre": pre, "rule": rule, "byzantine": f, "refined": found.tolist()}


def _draw() -> dict[str, str]:
    identity = str(recipients.X25519Identity(raw=b"\x09" * 32))
    return {"identity": identity, "draw": hashlib.sha256(f"{fold.DRAW}\n{identity}".encode()).hexdigest()}


def _standing() -> Iterable[object]:
    yield {"matrix": UPDATES, "last": START, "byzantine": 2}
    for rounds, sign in ((0, 1), (1, 1), (9, -1)):
        gains = (5000.0, 150.5, -3000.25, 1e3, 0.1, 5.9e3, -2e3)
        before = [
            standing.Standing(gain=sign * gain, length=9e3 + i, reach=4e3, rounds=rounds)
            for i, gain in enumerate(gains)
        ]
        judged = standing.judge(torch.tensor([*UPDATES, START], dtype=torch.int16), before, 2)
        aside = [row for row in range(len(UPDATES)) if row not in judged.kept]
        yield {"before": _standings(before), "after": _standings(judged.standings), "aside": aside}


def _standings(rows: Iterable[standing.Standing]) -> list[object]:
    return [[repr(row.gain), repr(row.length), repr(row.reach), row.rounds] for row in rows]


def _drawings() -> Iterable[object]:
    draw = _draw()["draw"]
    for number in range(divide_and_conquer.ITERATIONS):
        drawn = divide_and_conquer.subset_of_coordinates(1_000_000, draw=bytes.fromhex(draw), iteration=number)
        yield {"drawing": number, "dim": 1_000_000, "first": drawn[:6].tolist(), "sum": int(drawn.sum())}


def _carry() -> Iterable[object]:
    refined = [0, 128, 384, -384, 385, 8388352, -8388352]
    for before, now in ((-16, -16), (-16, -17), (-16, -12)):
        old, new = (lattice.Lattice(sizes=(len(refined),), exponents=(each,)) for each in (before, now))
        row = carry.carried(old, torch.tensor(refined, dtype=torch.int32), new)
        yield {"before": before, "now": now, "aggregate": refined, "row": row.tolist()}


def _outer() -> Iterable[object]:
    on = lattice.Lattice(sizes=(4,), exponents=(-16,))
    for chosen in OUTER:
        weights, state = torch.tensor([0.1, -0.0, 1.0, -0.25], dtype=torch.float32), optimizer.initial(chosen, 4)
        for refined in ([1, 0, -256, 16777216 - 256], [-70000, 3, 5, 900000], [0, 0, 0, 0]):
            row = chosen.to_record() | {"exponent": -16, "refined": refined}
            row |= {"before": _hex(weights), "state_before": _state(state)}
            direction = lattice.decode_refined(on, torch.tensor(refined, dtype=torch.int32))
            weights, state = optimizer.move(chosen, weights, direction, state, chosen.learning_rate)
            yield row | {"after": _hex(weights), "state_after": _state(state)}


def _state(state: optimizer.State) -> dict[str, str]:
    return {} if state is None else {each.name: _hex(getattr(state, each.name)) for each in dataclasses.fields(state)}


def _hex(tensor: torch.Tensor) -> str:
    return tensor.numpy().tobytes().hex()


def _outer_state() -> object:
    moments = torch.tensor([[0.5, -0.0], [1e-06, 2.0]], dtype=torch.float64)
    file = optimizer.encode(outer.Moments(first=moments[0], second=moments[1]))
    size = int.from_bytes(file[:8], "little")
    return {"length": file[:8].hex(), "header": file[8 : 8 + size].decode(), "data": file[8 + size :].hex()}


def _credit() -> Iterable[object]:
    matrix = torch.tensor(MATRIX, dtype=torch.int16)
    refined = lattice.refine(recipe.aggregate(matrix, recipe.Method(rule="median", pre="none", byzantine=1)))
    yield {"matrix": MATRIX, "refined": refined.tolist(), "scores": credit.gram_scores(matrix, refined)}


def _split() -> Iterable[object]:
    for pool, weights in ((10, {"a": 1, "b": 1, "c": 1}), (10, {"a": 0, "b": 3, "c": 4}), (7, {"a": 0, "b": 0})):
        yield {"pool": pool, "scores": weights, "credits": accounts.split(pool, weights)}


def _sketch() -> object:
    on = lattice.Lattice(sizes=(1, 3), exponents=(-17, -16))
    return {
        "sizes": on.sizes,
        "exponents": on.exponents,
        "seed": 5,
        "updates": MATRIX,
        "sketches": sketch.of(on, torch.tensor(MATRIX, dtype=torch.int16), seed=5).tolist(),
    }


def _secant() -> Iterable[object]:
    for points, reached in (([30, 20, -90], 40), ([20, 25, 15], 30), ([-30, -20, -90], -40)):
        values = shapley.secant(points, reached=reached)
        yield {"points": points, "reached": reached, "scores": [value * 1000 // 1 for value in values]}


def _scoring() -> Iterable[object]:
    models = [[0.0, 1.0], [0.5, -1.0], [0.25, 2.0], [-0.0, 1.0]]
    yield {"models": models, "candidates": scorers.digest(torch.tensor(models))}
    reveal = scorers.Reveal(salt=b"\x07" * 32, scores=(120_345, -77, 0))
    run = {"run": "ab" * 32, "round": 1, "author": HOLDERS[0]}
    bound = scorers.commitment("ab" * 32, 1, HOLDERS[0], reveal)
    yield run | {"salt": reveal.salt.hex(), "scores": reveal.scores, "commitment": bound}
    for rows in (
        ((5,), (-9,), (7,)),
        ((5, 1), (9, -2), (7, 3), (6, 0)),
        ((5, 10**9), (9, -2), (7, 3), (6, 0), (-(10**9), 2)),
    ):
        yield {"said": rows, "values": scorers.combine(rows, [1] * len(rows)).medians}


def _payouts() -> Iterable[object]:
    scores = {"a": 8000, "b": 1000, "c": 1000, "d": -5}
    for pool, schedule, rate, floor, cap in (
        (100, "proportional", 0, 0, 0),
        (100, "proportional", 0, 0, 50),
        (100, "proportional", 0, 30, 0),
        (100, "proportional", 0, 0, 20),
        (100, "linear", 3, 0, 0),
        (20, "linear", 3, 0, 0),
    ):
        terms = {"pool": pool, "schedule": schedule, "rate": rate, "floor": floor, "cap": cap}
        yield terms | {"scores": scores, "credits": payout.payout(scores, **terms)}


def _tiles() -> Iterable[object]:
    for level, index, width in ((0, 0, 256), (0, 273, 112), (2, 1_234_067, 8), (None, 1_000, 256)):
        tile = tiles.Tile(level=level, index=index, width=width)
        yield {"level": "entries" if level is None else level, "N": index, "W": width, "path": tile.path}


def _type(entry: leaf.Entry) -> str:
    return _kind(statements.parse(entry.envelope.payload))


def _kind(statement: statements.Predicate) -> str:
    return _name_of(type(statement)).split(":")[2]


def _lines(rows: Iterable[object]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def kind_of(predicate: type[statements.Predicate], field: str) -> str:
    """The name that `ledger.fields` gives the kind of a predicate's field."""
    reader = statements._READERS[_name_of(predicate)][field]
    kinds = {each.__metadata__[0]: name for name, each in vars(fields).items() if hasattr(each, "__metadata__")}
    return kinds[reader]


@functools.cache
def _name_of(predicate: type[statements.Predicate]) -> str:
    return next(name for name, each in statements.TYPES.items() if each is predicate)


def main(path: Path) -> None:
    """Make every example of the document again."""
    text = path.read_text()
    made = built(read_sealed(examples(text)))
    unknown = set(examples(text)).symmetric_difference(made)
    if unknown:
        sys.exit(f"only in the document, or only in the code: {', '.join(sorted(unknown))}")
    path.write_text(BLOCK.sub(lambda block: f"```{block[1]} example={block[2]}\n{made[block[2]]}```", text))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
