"""kill -9 over a whole federation: who is killed, when, and that the same command starts it again.

The kills are drawn from a seed. Most of the processes that are started again carry their death with them (`tests.mortal`): it
comes right before one of their own file operations. The others are killed from outside, as the log grows. A kill counts if
the process had begun its work.
"""

import collections
import contextlib
import dataclasses
import json
import os
import random
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from client import errors, invitation, remote
from ledger import dsse, statements
from orchestrator import folder, founding
from tests import moot, mortal, servers

HOLDERS = founding.member_names(3)
AGGREGATOR = "org"
COORDINATORS = ("coordinator", "standby")
AT_WORK = re.compile(r'"event": "(waiting|joined|training|sending|offered|outcome|recomputing|cosigned)"')
LONGEST_WAIT = 6.0
EARLY = 4
PAUSE = 2.0
STEPS = 25
POLL = 0.005


@dataclasses.dataclass(kw_only=True)
class Actor:
    """A process of the federation, which the same command starts again.

    Attributes:
        name: also of its log.
        arguments: of the command `folkmoot`.
        place: the folder that is its own, whose changes are its steps.
        process: the one that is there, or was.
        due: second at which it starts again; None while it is there.
        begun: length of its log when it was started.
        over: whether it has done all it had to do.
    """

    name: str
    arguments: tuple[str, ...]
    place: Path
    process: moot.Process
    due: float | None = None
    begun: int = 0
    over: bool = False

    @property
    def works(self) -> bool:
        """Whether it is there and has begun its work."""
        if self.over or self.due is not None or self.process.code is not None:
            return False
        if self.name in COORDINATORS:
            return bool(children(self.process.pid))
        return AT_WORK.search(self.process.said[self.begun :]) is not None


class Chaos:
    """A federation under kills.

    Args:
        folder: for all that it writes.
        seed: of who is killed, and when.
        kills: how many are wanted; a few more may come of deaths that are on their way.
        overrides: of the plan, and where the log is.
        database: the server of the log, killed like the others; None for none.
        aggregates: whether an aggregator takes part.
        standby: whether there is a second coordinator, that takes over when the first dies.
        leavers: names that are invited and leave again while all goes on: statements that are acknowledged all the time.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        kills: int,
        overrides: Sequence[str],
        database: servers.Postgres | None = None,
        aggregates: bool = False,
        standby: bool = False,
        leavers: int = 40,
        says: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._draw = random.Random(seed)
        self._wanted = kills
        self._database = database
        self._says = says
        self._leavers = tuple(f"leaver-{number:02d}" for number in range(leavers))
        port = free_port()
        names = (*HOLDERS, *self._leavers)
        more = [f"pool.aggregators=[{AGGREGATOR}]"] if aggregates else []
        more += ["standby=true"] if standby else []
        self.moot = moot.Moot(folder, names, f"pool.port={port}", *overrides, *more)
        self.root = self.moot.root
        self._url = f"http://127.0.0.1:{port}"
        watching = [self._member(AGGREGATOR, aggregates=True)] if aggregates else []
        for each in watching:
            each.process.says("waiting for round 1")  # holders consent to as many readers as there are
        self.coordinators = [self._coordinator("coordinator", self.moot.coordinator)]
        if standby:
            self.coordinators.append(
                self._coordinator("standby", self.moot.start("standby", "run", *self.moot.overrides))
            )
        self.holders = [self._member(each, aggregates=False) for each in HOLDERS]
        self.members = [*self.holders, *watching]
        self.actors = [*self.coordinators, *self.members]
        self.killed: collections.Counter[str] = collections.Counter()
        self.failed: list[str] = []
        self.offers: collections.defaultdict[tuple[str, int], set[bytes]] = collections.defaultdict(set)
        self.acknowledged: dict[str, int] = {}
        self.refused: list[str] = []
        self._database_due: float | None = None
        self._database_size = 0

    @property
    def kills(self) -> int:
        """How many there were."""
        return self.killed.total()

    @property
    def _rages(self) -> bool:
        """Whether there are more kills to come now: only few before everybody has joined, or nobody ever would."""
        trained = self.kills < EARLY or all('"outcome"' in each.process.said for each in self.holders)
        return self.kills < self._wanted and trained

    @property
    def leavers(self) -> int:
        """How many leave."""
        return len(self._leavers)

    def run(self, seconds: float) -> None:
        """Nothing; the run is over, and everybody has heard of it."""
        until = time.monotonic() + seconds
        leaving = threading.Thread(target=self._leave, daemon=True)
        leaving.start()
        following = self._next()
        while not all(actor.over for actor in self.actors):
            assert time.monotonic() < until, self.told()
            following = self._strike(following)
            self._tend()
            self._look()
            time.sleep(POLL)
        leaving.join(max(0.0, until - time.monotonic()))
        assert not leaving.is_alive(), self.told()

    def told(self) -> str:
        """What everybody said last, for whoever looks into a failure."""
        logs = [*(actor.process.log for actor in self.actors), self.root / "service.log"]
        tails = [f"--- {path.name}\n{path.read_text()[-2000:]}" for path in logs if path.exists()]
        return "\n".join([f"killed: {dict(self.killed)}; failed: {self.failed}", *tails])

    def stop(self) -> None:
        self.moot.stop()

    def _coordinator(self, name: str, process: moot.Process) -> Actor:
        return Actor(name=name, arguments=("run", *self.moot.overrides), place=self.root, process=process)

    def _member(self, name: str, *, aggregates: bool) -> Actor:
        place = self.moot.folder / f"folkmoot-{name}"
        invited = ("--invite", self._kept_invitation(name), "--folder", str(place), "--threads", "1", "--json")
        data = ("--data", f"shard:{HOLDERS.index(name)}", "--accept") if not aggregates else ()
        arguments = ("aggregate" if aggregates else "join", self._url, *invited, *data)
        return Actor(name=name, arguments=arguments, place=place, process=self.moot.start(name, *arguments))

    def _kept_invitation(self, name: str) -> str:
        """The text, as it came by mail: the coordinator deletes its file once it is void."""
        return Path(self.moot.invitation(name)).read_text().strip()

    def _next(self) -> tuple[float, int]:
        """When the next kill is due at the latest, and at which size of the log."""
        return time.monotonic() + LONGEST_WAIT, self._published() + self._draw.randrange(9)

    def _published(self) -> int:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int((self.root / "checkpoint").read_text().split("\n")[1])
        return 0

    def _strike(self, following: tuple[float, int]) -> tuple[float, int]:
        """Kill somebody if it is time; when the next is."""
        moment, size = following
        if not self._rages or (time.monotonic() < moment and self._published() < size):
            return following
        time.sleep(self._draw.random() * 0.1)
        targets = [each.name for each in self.actors] + ["service", "service"]
        targets += ["database", "database"] if self._database is not None else []
        self._draw.shuffle(targets)
        everybody = self._draw.random() < 0.05
        for each in dict.fromkeys(targets):
            if self._kill(each) and not everybody:
                break
        return self._next()

    def _kill(self, name: str) -> bool:
        """Whether `name` was at its work, which it is no longer."""
        if name == "database":
            if self._database is None or self._database_due is not None or self._published() == self._database_size:
                return False
            self._database_size = self._published()
            self._database.kill()
            self._database_due = time.monotonic() + self._draw.random() * PAUSE
            self._count(name)
            return True
        if name == "service":
            acting = (serving(each.process.pid, self._url) for each in self.coordinators if each.works)
            pid = next((each for each in acting if each is not None), None)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                self._count(name)
            return pid is not None
        actor = next(each for each in self.actors if each.name == name)
        if not actor.works:
            return False
        actor.process.kill()
        self._count(name)
        self._rest(actor)
        return True

    def _count(self, name: str) -> None:
        self.killed[name] += 1
        self._says(f"{self.kills:3d} {name}, {self._published()} entries")

    def _rest(self, actor: Actor) -> None:
        actor.due = time.monotonic() + self._draw.random() * PAUSE

    def _tend(self) -> None:
        """Start again whoever is due, and see who has ended."""
        if self._database is not None and self._database_due is not None and time.monotonic() > self._database_due:
            self._database.start()
            self._database_due = None
        for actor in self.actors:
            if actor.over:
                continue
            if actor.due is not None:
                if time.monotonic() > actor.due:
                    self._start(actor)
            elif actor.process.code == 0:
                actor.over = True
                if all(each.over for each in self.coordinators):
                    # Whoever was not there at the end hears of it from the service, which needs no coordinator.
                    self.moot.start("after", "serve", str(self.root), "--port", str(urlsplit(self._url).port))
            elif actor.process.code is not None:
                if actor.process.code == -signal.SIGKILL:
                    self._count(f"{actor.name}, at a step")
                else:
                    self.failed.append(f"{actor.name} ended with {actor.process.code}: {actor.process.said[-300:]}")
                self._rest(actor)

    def _start(self, actor: Actor) -> None:
        within: tuple[str, ...] = ()
        if self._rages and self._draw.random() < 0.7:
            own = f"^{re.escape(str(actor.place))}/(?!lock$|service.log$)"
            within = mortal.Step(kind="any", pattern=own, number=self._draw.randrange(1, STEPS)).within
        actor.begun = len(actor.process.said)
        actor.process = self.moot.start(actor.name, *actor.arguments, within=within)
        actor.due = None

    def _look(self) -> None:
        """Keep every offer that ever stood in an outbox."""
        for actor in self.holders:
            with contextlib.suppress(FileNotFoundError):
                offer = statements.parse(dsse.Envelope.parse((actor.place / "offer.json").read_bytes()).payload)
                if isinstance(offer, statements.UpdateOffer):
                    self.offers[actor.name, offer.round].add(statements.build(offer))

    def _leave(self) -> None:
        """Revoke one leaver after the other, some at once; what is acknowledged is written down."""
        waiting = list(self._leavers)
        while waiting:
            count = min(len(waiting), random.randrange(1, 6))
            threads = [threading.Thread(target=self._revoke, args=(waiting.pop(),), daemon=True) for _ in range(count)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            time.sleep(random.random() * 3)

    def _revoke(self, name: str) -> None:
        by = invitation.Invitation.parse(self._kept_invitation(name))
        said = statements.MemberRevoke(author=name, run=by.run, member=name, reason="leaves")
        envelope = dsse.sign(statements.build(said), by.key)
        with contextlib.closing(remote.Service(self._url)) as service:
            for _ in range(2000):
                try:
                    self.acknowledged[envelope.eid] = service.append(envelope)
                except errors.RejectedError as error:
                    self.refused.append(str(error))
                    return
                except errors.ServiceError:
                    time.sleep(0.1)
                else:
                    return


def events(log: Path) -> list[dict[str, object]]:
    """The events of a member; a line that a kill cut short is none."""
    found = []
    for line in log.read_text().splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict) and "event" in record:
                found.append(record)
    return found


def children(pid: int) -> list[int]:
    """The processes that `pid` started."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    return found


def serving(pid: int, url: str) -> int | None:
    """The service that the coordinator `pid` started, if it listens."""
    with contextlib.suppress(OSError), socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), 1.0):
        for each in children(pid):
            if b"serve" in Path(f"/proc/{each}/cmdline").read_bytes().split(b"\0"):
                return each
    return None


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def where(root: Path) -> folder.RunFolder:
    return folder.RunFolder(root=root)
