"""How a command says that it cannot: one sentence on standard error, and the exit code of the error's type."""

import os
import shlex
import sys
from typing import NoReturn

import click

from aggregation import errors as aggregation_errors
from client import errors as client_errors
from client import plain
from exchange import errors as exchange_errors
from ledger import errors as ledger_errors
from orchestrator import errors

OURS = (
    aggregation_errors.AggregationError,
    client_errors.ClientError,
    exchange_errors.ExchangeError,
    ledger_errors.LedgerError,
    errors.OrchestratorError,
    OSError,
)


def fail(error: Exception) -> NoReturn:
    """Nothing; the process ends, 1 where the error's type says no other code."""
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has enough of it; nothing more can be said there, also not by the interpreter at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    said = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
    click.echo(f"folkmoot: {plain.lines(said)}", err=True)
    sys.exit(getattr(error, "exit_code", 1))


def again() -> str:
    """The command that goes on where this one stopped: its own words, without the invitation, which it does not need twice."""
    words = iter(sys.argv[1:])
    kept = ["folkmoot"]
    for word in words:
        if word == "--invite":
            next(words, None)
        elif not word.startswith("--invite="):
            kept.append(word)
    return shlex.join(kept)
