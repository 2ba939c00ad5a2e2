"""Nodes of a Flower run in one process: each runs the ClientApp on a message, and offers its sealed reply.

    brief -> message -> app -> reply -> records -> sealed to the phase's recipient -> store -> update.offer

A reply stays exact: what a strategy makes of it is the strategy's business, so no lattice rounds it.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch

from client import (
    appstate,
    brief,
    clientapp,
    draws,
    errors,
    fingerprint,
    flower,
    flower_compat,
    groups,
    records,
    seeds,
    worker,
)
from exchange import blocks, places, recipients, sealing, unixfs
from ledger import context, dsse, keys, statements

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when flwr is imported
from flwr import app

NOTHING = records.encode(app.RecordDict())
SMALL = unixfs.CHUNK - 4096
"""Bytes of a reply that is one leaf when it is sealed; such replies are stored together, a phase in one file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a process needs to play its nodes.

    Attributes:
        app: name of the ClientApp.
        code: hex sha256 of its source.
        members: number of the partition by node.
        run_config: what `Context.run_config` holds.
        threads: torch threads of this process.
        seed: of what the app draws by habit.
        coordinator: text of the key that signs openings; empty where nothing is signed, sealed or stored.
        holders: folder with one folder a node, with its key.
        store: where the run's files are.
    """

    app: str
    code: str
    members: Mapping[str, int]
    run_config: Mapping[str, Any]
    threads: int
    seed: int
    coordinator: str = ""
    holders: Path = Path()
    store: places.Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(worker.Reply):
    """A node's answer.

    Attributes:
        content: without a ledger, its reply as records.
        sealed: with one, a small reply as it is to be stored before the offer is appended; larger ones are stored.
    """

    content: bytes = field(default=b"", repr=False)
    sealed: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A phase, as far as all nodes of a process share it."""

    said: statements.RoundOpen
    readers: Sequence[recipients.Recipient]


class Node:
    """Nodes that share a process."""

    def __init__(self, settings: Settings) -> None:
        torch.set_num_threads(settings.threads)
        self._settings = settings
        self._app = clientapp.load(settings.app, settings.code)
        self._run = int(settings.code[:15], 16)
        self._store = None if settings.store is None else places.open(settings.store)
        self._keys: dict[str, keys.SigningKey] = {}
        self._runtime = fingerprint.runtime(torch.device("cpu"), together=1)
        self._contexts: dict[str, app.Context] = {}
        self._memories: dict[str, appstate.Memory] = {}
        self._brief: tuple[str, brief.Brief] | None = None
        self._told: dict[int, app.RecordDict] = {}
        self._opened: tuple[bytes, Opened] | None = None

    @staticmethod
    def division(settings: Settings) -> groups.OneByOne:
        """Each node by itself, where its app's state is."""
        return groups.OneByOne(settings.members)

    def answer(self, group: groups.Group, opening: bytes, file: np.ndarray) -> list[Reply]:
        """What the members of `group` that are asked reply; arguments as of `contribute`."""
        return [self.contribute(member, opening, file) for member in group.asked]

    def contribute(self, member: str, opening: bytes, file: np.ndarray) -> Reply:
        """What `member` replies to the brief in `file`.

        Args:
            member: one of the settings' members.
            opening: the signed opening of the phase; without a ledger its number as text.
            file: uint8, the phase's brief; hashed here before use.
        """
        if not self._settings.coordinator:
            try:
                reply = self._replied(member, self._known(opening.decode(), file), None)
            except errors.RefusalError as error:
                return Reply(member=member, offer=None, reason=f"{error.code}: {error}")
            return Reply(member=member, offer=None, content=records.encode(reply))
        opened = self._admitted(opening)
        key = self._key(member)
        try:
            content = self._replied(member, self._verified(opened.said.parent, file), opened.said)
        except errors.RefusalError as error:
            said_no = statements.RoundDecline(
                author=member, run=opened.said.run, round=opened.said.round, reason=error.code
            )
            decline = dsse.sign(statements.build(said_no), key).to_bytes()
            return Reply(member=member, offer=None, decline=decline, reason=f"{error.code}: {error}")
        return self._offered(member, opened, content, key)

    def _admitted(self, opening: bytes) -> Opened:
        """The opening that the coordinator signed; verified once for all nodes here."""
        if self._opened is None or self._opened[0] != opening:
            signer = keys.PublicKey.parse(self._settings.coordinator)
            said = statements.parse(dsse.verify(dsse.Envelope.parse(opening), signer))
            if not isinstance(said, statements.RoundOpen):
                raise errors.CheckpointError(f"expected the opening of a phase, got {type(said).__name__}")
            readers = [recipients.parse_recipient(text) for text in said.recipients]
            self._opened = opening, Opened(said=said, readers=readers)
        return self._opened[1]

    def _verified(self, parent: str, file: np.ndarray) -> brief.Brief:
        """The brief in `file`, once it is known to be the one that the opening names."""
        if self._brief is None or self._brief[0] != parent:
            found = str(unixfs.of(file.data.cast("B")))
            if found != parent:
                raise errors.CheckpointError(f"the brief has CID {found}, expected {parent}")
        return self._known(parent, file)

    def _known(self, name: str, file: np.ndarray) -> brief.Brief:
        if self._brief is None or self._brief[0] != name:
            self._brief, self._told = (name, brief.decode(file.data)), {}
        return self._brief[1]

    def _content(self, said: brief.Brief, place: int) -> app.RecordDict:
        """What a node is told, read once for all nodes here."""
        if place not in self._told:
            self._told[place] = records.decode(said.contents[place])
        return records.copied(self._told[place])

    def _replied(self, member: str, said: brief.Brief, opened: statements.RoundOpen | None) -> app.RecordDict:
        """The content of the app's reply."""
        told = said.messages[member]
        own = self._context(member)
        memory = None if opened is None else self._memory(member)
        if memory is not None and opened is not None:
            own.state = memory.before(opened)
        before = records.encode(own.state) if own.state else NOTHING
        flower_compat.transport(self._run)
        message = app.Message(self._content(said, told.content), own.node_id, told.kind, group_id=told.group)
        flower_compat.transport(self._run, message, f"{said.number}-{member}")
        drawn = seeds.derive(self._settings.seed, round_number=said.number, member=member, purpose="app")
        draws.begin(drawn)
        reply = clientapp.ask(self._app, message, own)
        if memory is not None and opened is not None:
            memory.keep(opened, before=before, after=own.state)
        return reply.content

    def _memory(self, member: str) -> appstate.Memory:
        if member not in self._memories:
            self._memories[member] = appstate.Memory(self._settings.holders / member)
        return self._memories[member]

    def _key(self, member: str) -> keys.SigningKey:
        if member not in self._keys:
            self._keys[member] = keys.SigningKey.load(self._settings.holders / member / "key")
        return self._keys[member]

    def _context(self, member: str) -> app.Context:
        if member not in self._contexts:
            number = self._settings.members[member]
            self._contexts[member] = app.Context(
                run_id=self._run,
                node_id=flower_compat.SERVER + 1 + number,
                node_config={"partition-id": number, "num-partitions": len(self._settings.members)},
                state=app.RecordDict(),
                run_config=dict(self._settings.run_config),
            )
        return self._contexts[member]

    def _offered(self, member: str, opened: Opened, content: app.RecordDict, key: keys.SigningKey) -> Reply:
        """A reply that is sealed, with its signed offer."""
        said = opened.said
        bound = context.context_digest(said.run, said.round, said.parent, member)
        file = [bound, *records.pieces(content)]
        sealed = b""
        if sum(map(len, file)) <= SMALL:
            sealed = sealing.seal(b"".join(file), recipients=opened.readers, context=bound)
            root = unixfs.Root(cid=unixfs.of(sealed), size=len(sealed))
        else:
            root = self._deposited(file, opened.readers, bound)
        statement = statements.UpdateOffer(
            author=member,
            run=said.run,
            round=said.round,
            parent=said.parent,
            ciphertext=str(root.cid),
            size=root.size,
            examples=flower.examples(flower.metrics(content)),
            saturated=0,
            context=bound.hex(),
            runtime=self._runtime,
        )
        return Reply(member=member, offer=dsse.sign(statements.build(statement), key).to_bytes(), sealed=sealed)

    def _deposited(self, file: Sequence[bytes], readers: Sequence[recipients.Recipient], bound: bytes) -> unixfs.Root:
        """Name and size of a large reply, which is sealed as it is stored."""
        if self._store is None:
            raise errors.ServiceError("a phase was opened for nodes without a store")
        if isinstance(self._store, blocks.BlockStore):
            sealed = sealing.source(file, recipients=readers, context=bound)
            return self._store.pack([cast("BinaryIO", sealed)])[0]
        return sealing.deposit(self._store, file, recipients=readers, context=bound)
