"""The bundle of a run in which something was found, and what is promised of it: no more than is so."""

from collections.abc import Callable
from pathlib import Path

from aggregation import errors as aggregation_errors
from client import errors as client_errors
from exchange import errors as exchange_errors
from ledger import errors as ledger_errors
from orchestrator import bundling, errors

REFUSALS = (
    aggregation_errors.AggregationError,
    client_errors.ClientError,
    exchange_errors.ExchangeError,
    ledger_errors.LedgerError,
)
"""What stops an audit that reads a run, and is a difference then."""
FINDINGS = (errors.AuditError, *REFUSALS)


class Finish:
    """What is called when all of a run was read, and whether it was, and had nothing to say.

    Args:
        finish: what to call.

    Attributes:
        done: whether it was called and did not raise.
    """

    def __init__(self, finish: Callable[[], object]) -> None:
        self._finish = finish
        self.done = False

    def __call__(self) -> None:
        """Nothing; raises as what it calls."""
        self._finish()
        self.done = True


def written(wanted: bundling.Contents, path: Path, *, replace: bool, told: Callable[[str], object], whole: bool) -> str:
    """The words on the bundle that was written, or was not, of a run in which something was found.

    Args:
        wanted: what goes in.
        path: where it is written to.
        replace: whether there may be a file already.
        told: is told now and then how far it is.
        whole: whether all of the run was read without a difference: then memory or policy spoke against it.
    """
    try:
        bundling.write(wanted, path, replace=replace, told=told)
    except (errors.OrchestratorError, *FINDINGS) as failure:
        return f"no bundle of it was written: {failure}"
    if whole:
        return f"{path} holds what was audited, in which nothing else was found"
    return f"{path} holds what was read, in which an audit finds a difference too"


def beside(error: Exception, words: str) -> errors.AuditError:
    """A finding, with what became of its bundle."""
    code = error.code if isinstance(error, errors.AuditError) else "difference"
    return errors.AuditError(f"{error}; {words}", code)
