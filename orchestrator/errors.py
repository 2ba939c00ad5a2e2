"""What can go wrong at the coordinator, and the exit codes of the command line.

OrchestratorError
+- ConfigError     exit 2   a configuration that cannot run; nothing was started, nothing was written
+- FolderError     exit 2   a run folder that is busy, or that holds another run
+- PoolError       exit 1   workers that keep dying
+- RoundError      exit 1   a round that cannot be completed
+- AuditError      exit 1   the record and the recomputation differ; names the first thing that does
+- UnreachedError  exit 2   what was to be audited cannot be fetched, so nothing is known of it
+- ReplyError      a Flower client's reply that cannot be used; `code` says why
"""


class OrchestratorError(Exception):
    """Any failure of the `orchestrator` package that a caller may handle.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = 1


class ConfigError(OrchestratorError):
    """A configuration that cannot run."""

    exit_code = 2


class FolderError(OrchestratorError):
    """A run folder that is busy, missing, or that holds another run."""

    exit_code = 2


class PoolError(OrchestratorError):
    """Workers that keep dying."""


class RoundError(OrchestratorError):
    """A round that cannot be completed."""


class AuditError(OrchestratorError):
    """The record and the recomputation differ.

    Attributes:
        code: in what: `opening`, `seal`, `accepted`, `aggregate`, `checkpoint`, `credit`; else `difference`.
    """

    def __init__(self, message: str, code: str = "difference") -> None:
        super().__init__(message)
        self.code = code


class UnreachedError(OrchestratorError):
    """What was to be audited cannot be fetched."""

    exit_code = 2


class ReplyError(OrchestratorError):
    """A Flower client's reply that cannot be used.

    Attributes:
        code: short reason, as in `orchestrator.vetting`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
