"""What can go wrong at a holder.

ClientError
+- PlanError        a run's plan that is not one of ours: a missing, unknown or ill-typed field
+- TaskError        a task, or a holder of it, that does not exist
+- CheckpointError  model bytes that are not the checkpoint they were announced as
+- MomentumError    the holder's own momentum file is damaged
+- TrainingError    local training gave a value that is not finite
+- RefusalError     the holder declines the round: `code` says which rule of its policy, or of the protocol, said no
"""


class ClientError(Exception):
    """Any failure of the `client` package that a caller may handle."""


class PlanError(ClientError):
    """A plan with a missing, unknown or ill-typed field."""


class TaskError(ClientError):
    """An unknown task, or a holder the task has no data for."""


class CheckpointError(ClientError):
    """Bytes that are not the checkpoint they were announced as."""


class MomentumError(ClientError):
    """A holder's file of momentum that is not one: a fault of its machine."""


class TrainingError(ClientError):
    """Local training ended in a value that is not finite."""


class RefusalError(ClientError):
    """The holder declines to contribute to a round.

    Attributes:
        code: short reason, such as `policy-task` or `not-in-cohort`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
