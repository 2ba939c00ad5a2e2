"""A small real federation for stories: real keys, real ledger rules, real store, no coordinator process."""

import dataclasses
from pathlib import Path

from rich.console import Console

from client import agreement, checkpoint, holder, hostile, policy, spending, training, worker
from exchange import blocks, recipients
from ledger import dsse, history, keys, log, statements
from orchestrator import config, coordinator, folder, founding, inprocess, journal, opening, progress, settings

TWO_ROUNDS = ("pool=inprocess", "rounds=2", "task.epochs=1")


def settings_for(folder: Path, *overrides: str) -> settings.RunConfig:
    """A run in `folder` that trains in this process."""
    return config.compose([*TWO_ROUNDS, f"dir={folder}", *overrides])


class Interrupting(inprocess.InProcessPool):
    """A pool whose process dies after so many answers."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self._left = answers

    def wait(self, timeout: float) -> list[worker.Reply]:
        if self._left == 0:
            raise KeyboardInterrupt
        self._left -= 1
        return super().wait(timeout)


def conduct(root: Path, workers: inprocess.InProcessPool, *overrides: str) -> None:
    chosen = settings_for(root, *overrides)
    where = folder.RunFolder(root=root)
    root.mkdir(parents=True, exist_ok=True)
    where.config.write_text(chosen.resolved)
    with where.locked(), progress.Progress(Console(quiet=True), {}) as show:
        coordinator.Coordinator(
            where,
            chosen.plan,
            hostile=chosen.hostile,
            workers=workers,
            threads=1,
            together=chosen.together,
            listeners=[show],
        ).run()


class Federation:
    """A founded run whose first round is open, with its ledger as a history in memory."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.folder = folder
        self.settings = settings_for(folder, *overrides)
        self.store = blocks.BlockStore(folder)
        self.coordinator = keys.SigningKey.generate()
        self.names = founding.member_names(self.settings.plan.task.holders)
        self.keys = {name: keys.SigningKey.generate() for name in self.names}
        self.history = history.EMPTY
        self.envelopes: list[dsse.Envelope] = []
        for envelope in founding.found(self.settings.plan, self.coordinator, self.keys, self.store):
            self.append(envelope)
        self.agreed = agreement.Agreement.read(self.envelopes[0])
        self.identity = recipients.X25519Identity.generate()
        self.model = training.FlatModel(self.agreed.task.model(), training.torch.device("cpu"))
        self.say(opening.prescribe(self.agreed, self.history, str(self.identity.recipient), self.get))

    def append(self, envelope: dsse.Envelope) -> None:
        self.history = history.apply(self.history, self.history.size, envelope)
        self.envelopes.append(envelope)

    def say(self, statement: statements.Predicate) -> dsse.Envelope:
        """Append a statement of the coordinator."""
        envelope = dsse.sign(statements.build(statement), self.coordinator)
        self.append(envelope)
        return envelope

    def get(self, cid: str) -> bytes:
        return self.store.get(cid, limit=2**24)

    @property
    def opening(self) -> dsse.Envelope:
        return next(e for e in reversed(self.envelopes) if isinstance(parsed(e), statements.RoundOpen))

    @property
    def start(self) -> checkpoint.Checkpoint:
        parent = self.agreed.opening(self.opening).parent
        return checkpoint.decode(self.get(parent), parent, self.agreed.specs)

    def consent(self, **changes: object) -> policy.Policy:
        """A policy that admits this run, but for `changes`."""
        whole = policy.Policy.narrowest(self.agreed)
        return dataclasses.replace(whole, **changes)

    def spent(self, name: str) -> spending.Spending:
        return spending.Spending(self.folder / "holders" / name / "spending.jsonl")

    def holder(self, name: str, *, behaviour: str | None = None, consent: policy.Policy | None = None) -> holder.Holder:
        kind = hostile.find(behaviour) if behaviour else holder.Holder
        return kind(
            name=name,
            key=self.keys[name],
            consent=consent or self.consent(),
            spent=self.spent(name),
            examples=self.agreed.task.shard(self.names.index(name)),
            agreed=self.agreed,
            store=self.store,
            outbox_path=self.folder / "holders" / name / "offer.json",
            momentum_path=self.folder / "holders" / name / "momentum.safetensors",
            model=self.model,
        )

    def contribute(self, name: str, *, behaviour: str | None = None) -> statements.UpdateOffer:
        """Have a holder train and its offer put on the ledger."""
        envelope = self.holder(name, behaviour=behaviour).contribute(self.opening, self.start).offer
        self.append(envelope)
        offer = parsed(envelope)
        assert isinstance(offer, statements.UpdateOffer)
        return offer

    def seal(self) -> list[statements.UpdateOffer]:
        positions = tuple(sorted(seq for seq, _ in self.history.offers.values()))
        self.say(
            statements.RoundSeal(
                author=founding.COORDINATOR, run=self.agreed.run, round=self.history.round + 1, offers=positions
            )
        )
        return [offer for _, offer in self.history.offers.values()]

    def publish(self) -> None:
        """Put all statements into the run folder's log, under a signed checkpoint."""
        name = journal.origin(self.coordinator.public.fingerprint)
        with log.Log.open(self.folder / "ledger.sqlite", origin=name) as record:
            record.append(self.envelopes, head=record.head)
            record.publish(self.coordinator)


def parsed(envelope: dsse.Envelope) -> statements.Predicate:
    return statements.parse(envelope.payload)
