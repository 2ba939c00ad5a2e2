"""Flower's Grid on our pool, sealing, store and ledger: any strategy's `start`, and any ServerApp, runs over it unmodified.

    with grid.FolkmootGrid("app.py:app", nodes=10, folder="runs/flower") as ours:
        result = FedAvg().start(grid=ours, initial_arrays=arrays, num_rounds=3)
        ours.finish(result.arrays)

Each batch of messages is a phase (orchestrator.phases), also those of evaluation: what is said is stored once for all nodes
that are told the same, replies are sealed, and none is opened before all are in. Who failed gets Flower's own error reply, so a
strategy goes on as it would anywhere. Without a folder nothing is sealed, stored or recorded.

A phase ends before the next begins, whatever the ServerApp's own order; its threads are served one after the other.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, Self

import numpy as np

from client import apps, brief, clientapp, draws, flower_compat, gridnode, gridplan, records
from orchestrator import errors, folder, inprocess, phases, pool

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when flwr is imported
import flwr
from flwr import app, serverapp

PATIENCE = 0.5


class FolkmootGrid(serverapp.Grid):  # type: ignore[misc]  # Flower's class is untyped to us
    """Nodes of one machine that run a ClientApp.

    Args:
        client: name of the ClientApp, as FILE.py:OBJECT or MODULE:OBJECT.
        nodes: how many there are; node k has partition k of them.
        folder: where everything durable of the run goes; None to seal and record nothing.
        workers: processes on Ray that play the nodes; 0 for this process.
        threads: torch threads of each process.
        run_config: what the app finds in `Context.run_config`.
        seed: of what the app draws by habit.
        server: what leads the run, for the record.
        disclosure: `public`, or `none`: whether anybody may open the replies once a phase is over.

    Raises:
        AppError: there is no such app.
        FolderError: the folder is busy, or holds a run already.
        PoolError: Ray does not start.
    """

    def __init__(
        self,
        client: str,
        *,
        nodes: int,
        folder: str | Path | None = None,
        workers: int = 0,
        threads: int = 1,
        run_config: Mapping[str, Any] | None = None,
        seed: int = 0,
        server: str = "",
        disclosure: str = "public",
    ) -> None:
        self._code = apps.digest(apps.find(client))
        self._plan = gridplan.GridPlan(
            kind=gridplan.KIND,
            v=1,
            app=client,
            code=self._code,
            nodes=nodes,
            seed=seed,
            flwr=flwr.__version__,
            server=server,
            disclosure=disclosure,
            credit=gridplan.NoCredit(pool=0),
        )
        self._names = dict(enumerate(phases.node_names(nodes), start=flower_compat.SERVER + 1))
        self._ids = {name: number for number, name in self._names.items()}
        self._roll = clientapp.Roll(nodes)
        self._run: Any = flower_compat.transport(int(self._code[:15], 16))
        self._count, self._number = 0, 0  # messages, phases
        self._replies: dict[str, app.Message] = {}
        self._final: bytes | None = None
        self._phases: phases.Phases | None = None
        self._stopped = False
        self._pool = pool.RayPool(workers, kind=gridnode.Node) if workers else inprocess.InProcessPool(gridnode.Node)
        self._held = contextlib.ExitStack()
        # Ledger, store and pool belong to one thread: a ServerApp may ask from several.
        self._desk = futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="grid")
        try:
            self._at_desk(self._begin, None if folder is None else Path(folder), threads, dict(run_config or {}))
        except BaseException:
            self._desk.shutdown()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def set_run(self, run: Any) -> None:  # noqa: ANN401  Flower's Run is private
        """Take the run that Flower names; a message says which it is of, and no more."""
        self._run = run

    @property
    def run(self) -> Any:  # noqa: ANN401  Flower's Run is private
        """The run, which has a `run_id`."""
        return self._run

    def create_message(
        self, content: app.RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> app.Message:
        """A message, as older apps make it."""
        return app.Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Ids of all nodes."""
        return self._roll.call()

    def push_messages(self, messages: Iterable[app.Message]) -> Iterable[str]:
        """Ids of messages, whose replies are here when this returns."""
        self._roll.answer()
        sent = list(messages)
        for message in sent:
            self._count += 1
            flower_compat.transport(self._run.run_id, message, f"message-{self._count}")
        for batch in phases.batches(sent):
            for reply in self._at_desk(self._phase, batch):
                self._replies[reply.metadata.reply_to_message_id] = reply
        return [message.metadata.message_id for message in sent]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[app.Message]:
        """The replies to these messages, each once."""
        return [self._replies.pop(each) for each in list(message_ids) if each in self._replies]

    def send_and_receive(
        self,
        messages: Iterable[app.Message],
        *,
        timeout: float | None = None,  # noqa: ARG002  nodes of one machine answer, or fail
    ) -> Iterable[app.Message]:
        """The reply to each message: its content, or Flower's error where the node failed."""
        return self.pull_messages(self.push_messages(messages))

    def finish(self, arrays: app.ArrayRecord) -> None:
        """Say which model came of it all; it becomes the last checkpoint."""
        self._final = records.encode(app.RecordDict({"arrays": arrays}))

    def close(self) -> None:
        """Commit the last phase, publish the log, and let go of workers and files. Twice is as good as once."""
        if not self._stopped:
            self._stopped = True
            self._desk.submit(self._end).result()
            self._desk.shutdown()

    def _at_desk(self, work: Any, *arguments: Any) -> Any:  # noqa: ANN401  whatever it is
        return self._desk.submit(work, *arguments).result()

    def _begin(self, root: Path | None, threads: int, run_config: dict[str, Any]) -> None:
        where = None if root is None else folder.RunFolder(root=root)
        if where is not None:
            self._held.enter_context(where.locked())
            self._phases = phases.Phases(where, self._plan)
        settings = gridnode.Settings(
            app=self._plan.app,
            code=self._code,
            members={name: number for number, name in enumerate(self._ids)},
            run_config=run_config,
            threads=threads,
            seed=self._plan.seed,
        )
        if where is not None:
            key, holders = str(where.coordinator_key().public), where.holders.resolve()
            settings = dataclasses.replace(settings, coordinator=key, holders=holders, store=where.place)
        self._pool.start(settings)

    def _end(self) -> None:
        with self._held:
            self._pool.close()
            if self._phases is not None:
                self._phases.close(self._final)

    def _phase(self, messages: Sequence[app.Message]) -> list[app.Message]:
        """The replies to messages of which no two go to the same node."""
        by_name = {self._named(message): message for message in messages}
        said = self._brief(by_name)
        if self._phases is None:
            with draws.kept():
                came = self._unrecorded(said)
            return [self._reply(message, *came[name]) for name, message in by_name.items()]
        opening, file = self._phases.open(said)
        # All at once: a phase cannot be resumed, so nothing is gained by appending each answer as it comes.
        with draws.kept():  # a ServerApp draws from the same generators as apps that run here
            replies = [each for several in self._heard(list(by_name), opening, file) for each in several]
        harvest = self._phases.settle(replies)
        reasons = {each.member: each.reason for each in replies}
        return [
            self._reply(message, harvest.contents.get(name), reasons.get(name) or harvest.rejected.get(name, ""))
            for name, message in by_name.items()
        ]

    def _unrecorded(self, said: brief.Brief) -> dict[str, tuple[app.RecordDict | None, str]]:
        came: dict[str, tuple[app.RecordDict | None, str]] = {}
        for replies in self._heard(list(said.messages), str(said.number).encode(), said.encode()):
            for each in replies:
                came[each.member] = (records.decode(each.content) if each.content else None, each.reason)
        return came

    def _heard(self, members: list[str], opening: bytes, file: bytes) -> Iterable[list[Any]]:
        """Answers as they come, until all have answered."""
        missing = set(members)
        self._pool.ask(members, opening, np.frombuffer(file, dtype=np.uint8))
        while missing:
            replies = self._pool.wait(PATIENCE)
            missing.difference_update(each.member for each in replies)
            if replies:
                yield replies
            elif self._stopped:
                raise errors.PoolError("the grid was closed while nodes were at work")

    def _brief(self, by_name: Mapping[str, app.Message]) -> brief.Brief:
        """What these messages say; a strategy hands the same records to many nodes, which are written once."""
        places: dict[int, int] = {}
        contents: list[bytes] = []
        said = {}
        for name, message in by_name.items():
            if id(message.content) not in places:
                places[id(message.content)] = len(contents)
                contents.append(records.encode(message.content))
            kind, group = message.metadata.message_type, message.metadata.group_id
            said[name] = brief.Said(kind=kind, group=group, content=places[id(message.content)])
        self._number += 1
        parent = "" if self._phases is None else self._phases.parent
        return brief.Brief(number=self._number, parent=parent, messages=said, contents=contents)

    def _named(self, message: app.Message) -> str:
        node = message.metadata.dst_node_id
        if node not in self._names:
            raise errors.RoundError(f"a message to node {node}, expected one of the {len(self._names)} that there are")
        return self._names[node]

    def _reply(self, message: app.Message, content: app.RecordDict | None, reason: str) -> app.Message:
        flower_compat.transport(self._run.run_id)
        if content is None:
            return app.Message(app.Error(code=0, reason=reason or "no answer"), reply_to=message)
        return app.Message(content, reply_to=message)
