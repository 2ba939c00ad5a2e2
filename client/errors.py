"""What can go wrong at a holder.

ClientError
+- PlanError        a run's plan that is not one of ours: a missing, unknown or ill-typed field
+- TaskError        a task, or a holder of it, that does not exist
|   +- AppError     exit 2: a Flower app that is not to be had, is another one than agreed, or says nothing that can be used
+- DataError        a holder's own files that are not what the task takes
+- CheckpointError  model bytes that are not the checkpoint they were announced as
+- MomentumError    the holder's own momentum file is damaged
+- RecordsError     bytes that are no records of Flower's in our one form
+- TrainingError    local training gave a value that is not finite
+- InvitationError  a line that is no invitation to a run
+- HomeError        exit 2: a holder's folder that is busy, of another member, or that lacks what it had
+- JoinError        the place in the run is not to be had: taken, revoked, or never kept
+- ServiceError     the run's service does not answer, or not what it should; worth asking again
|   +- RejectedError  it says no to what was sent
+- ForkedError      the run's log is not the one that was followed so far: nothing of it is believed any more
+- PolicyError      exit 2: a policy file that is none; the message names line and clause
+- SpendingError    exit 2: the file of what a holder has spent is damaged
+- RefusalError     the holder declines the round: `code` says which rule of its policy, or of the protocol, said no
"""

from pathlib import Path


class ClientError(Exception):
    """Any failure of the `client` package that a caller may handle."""


class PlanError(ClientError):
    """A plan with a missing, unknown or ill-typed field."""


class TaskError(ClientError):
    """An unknown task, or a holder the task has no data for."""


class DataError(ClientError):
    """A holder's own file that is not what the task takes.

    The message may quote a value of the file: it is for the holder's eyes, and never goes on a log that others read.

    Args:
        path: the file or folder.
        place: where in it, such as `line 17, column 'age'`; empty for all of it.
        problem: what is there, what was expected.
    """

    def __init__(self, path: Path, place: str, problem: str) -> None:
        super().__init__(f"{path}{', ' if place else ''}{place}: {problem}")
        self.path = path
        self.place = place


class CheckpointError(ClientError):
    """Bytes that are not the checkpoint they were announced as."""


class MomentumError(ClientError):
    """A holder's file of momentum that is not one: a fault of its machine."""


class RecordsError(ClientError):
    """Bytes that are no records of Flower's in our one form."""

    code = "records"


class AppError(TaskError):
    """A Flower app that is not to be had, is another one than was agreed on, or says nothing that can be used.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = 2


class TrainingError(ClientError):
    """Local training ended in a value that is not finite."""


class InvitationError(ClientError):
    """A line that is no invitation to a run; the message never repeats it, for it may be most of a secret."""


class HomeError(ClientError):
    """A holder's folder that is busy, belongs to another member, or lacks what it had.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = 2


class JoinError(ClientError):
    """The place in the run is not to be had: somebody else has taken it, it was revoked, or was never kept."""


class ServiceError(ClientError):
    """The run's service does not answer, or answers nonsense. Nothing it says is believed, so asking again is safe.

    Attributes:
        wait: seconds that it asks to wait for; 0 where it names none.
    """

    def __init__(self, message: str, *, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class RejectedError(ServiceError):
    """The service says no to what was sent; the same again would meet the same.

    Attributes:
        status: of HTTP.
        code: short reason, such as `wrong-round`.
    """

    def __init__(self, message: str, *, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ForkedError(ClientError):
    """The run's log is not the one that was followed so far, or says what its own rules forbid."""


class PolicyError(ClientError):
    """A policy file that is none.

    Attributes:
        exit_code: what the command line exits with.
        line: of the file, from 1; 0 where it has none.
        clause: the clause that is wrong; empty where it is the file.
    """

    exit_code = 2

    def __init__(self, message: str, *, line: int = 0, clause: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.clause = clause


class SpendingError(ClientError):
    """A holder's file of what it has spent that is not one: a fault of its machine.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = 2


class RefusalError(ClientError):
    """The holder declines to contribute to a round.

    Attributes:
        code: short reason, such as `policy-tasks` or `not-in-cohort`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
