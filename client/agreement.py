"""What a genesis statement binds its members to: run, coordinator, plan, task and the layout of the model."""

import dataclasses
import functools
from typing import Self

from aggregation import errors as aggregation_errors
from client import errors, plan, quorum, task
from client.tasks import catalogue
from exchange import tensors
from ledger import dsse, keys, membership, statements


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A verified genesis.

    Attributes:
        run: hex eid of the genesis statement, the name of the run everywhere.
        founder: name of the coordinator.
        coordinator: the key that signed it: who the coordinator is, for as long as the run lasts.
        signer: the key that the coordinator signs with now; another one where it has changed its key since.
        plan: what was agreed.
        task: the plan's task, from this machine's own code.
        specs: names and shapes of the model's tensors, the layout of each flat vector of the run.
        checkpoint: CID of the initial weights.
    """

    run: str
    founder: str
    coordinator: keys.PublicKey
    signer: keys.PublicKey
    plan: plan.Plan
    task: task.Task
    specs: tuple[tensors.TensorSpec, ...]
    checkpoint: str

    @classmethod
    def read(cls, genesis: dsse.Envelope) -> Self:
        """The agreement that a signed genesis makes.

        Raises:
            StatementError: not a well-formed genesis.
            SignatureError: not signed by the key it names.
            PlanError: its plan is not one of ours, or its rule cannot take so many Byzantine holders.
            TaskError: this machine has no such task.

        Reference: docs/protocol.md P7.
        """
        statement = statements.parse(genesis.payload)
        if not isinstance(statement, statements.Genesis):
            raise errors.PlanError(f"expected a genesis statement, got {type(statement).__name__}")
        coordinator = keys.PublicKey.parse(statement.key)
        dsse.verify(genesis, coordinator)
        agreed = plan.Plan.from_record(statement.plan)
        try:
            quorum.require(agreed)
        except aggregation_errors.RuleError as error:
            raise errors.PlanError(f"rule: {error}") from error
        made = catalogue.load(agreed.task, seed=agreed.seed)
        return cls(
            run=genesis.eid,
            founder=statement.author,
            coordinator=coordinator,
            signer=coordinator,
            plan=agreed,
            task=made,
            specs=task.specs(made.model()),
            checkpoint=statement.checkpoint,
        )

    def rotated(self, envelope: dsse.Envelope) -> Self:
        """This agreement, after the coordinator's key has changed as `envelope` says.

        Raises:
            StatementError: not a well-formed change of key.
            SignatureError: not signed by the coordinator's present key, or the new key did not sign that it takes its place.
            RefusalError: another member's key, or another run.

        Reference: docs/protocol.md P3.
        """
        statement = statements.parse(dsse.verify(envelope, self.signer))
        if not isinstance(statement, statements.MemberRotate):
            raise errors.RefusalError("not-a-rotation", f"expected member.rotate, got {type(statement).__name__}")
        if (statement.run, statement.author) != (self.run, self.founder):
            said = f"{statement.author} of run {statement.run} changes its key"
            raise errors.RefusalError("wrong-run", f"{said}, expected {self.founder} of run {self.run}")
        signer = membership.shown(statement, self.signer)
        return dataclasses.replace(self, signer=signer)

    def opening(self, envelope: dsse.Envelope) -> statements.RoundOpen:
        """The round that `envelope` opens, its signature and run checked.

        Raises:
            StatementError: not a well-formed opening.
            SignatureError: not signed with the coordinator's present key.
            RefusalError: it opens a round of another run.
        """
        statement = _said(envelope, self.signer)
        if not isinstance(statement, statements.RoundOpen):
            raise errors.RefusalError("not-an-opening", f"expected round.open, got {type(statement).__name__}")
        if statement.run != self.run:
            raise errors.RefusalError("wrong-run", f"the round belongs to run {statement.run}, expected {self.run}")
        return statement


@functools.lru_cache(maxsize=4)
def _said(envelope: dsse.Envelope, signer: keys.PublicKey) -> statements.Predicate:
    """What an envelope states, its signature checked: once, where one process plays many holders."""
    return statements.parse(dsse.verify(envelope, signer))
