"""What the service answers where it does not give what was asked for.

    {"code": "<reason>", "message": "<a sentence>"}

as JSON in ASCII, in which no control character, and nothing that a terminal would obey, stands as itself.
"""

import json
from collections.abc import Mapping

from starlette import responses

from ledger import errors

MOST_CHARACTERS = 500
RETRY = "1"  # seconds
WRONG_BYTES = "wrong-bytes"

_FORBIDDEN = ("unknown-member", "revoked", "not-entitled", "not-in-cohort")


class Refusal(Exception):  # noqa: N818 - an answer, and not a failure of ours
    """An answer other than what was asked for.

    Attributes:
        status: of HTTP.
        code: the reason, of a-z and hyphens.
        closing: whether the connection ends with the answer, because of what may still come over it.
    """

    def __init__(self, status: int, code: str, message: str, *, closing: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.closing = closing

    def response(self) -> responses.Response:
        """The refusal as an answer."""
        headers = {"retry-after": RETRY} if self.status in (429, 503) else {}
        if self.closing:
            headers["connection"] = "close"
        return record({"code": self.code, "message": str(self)[:MOST_CHARACTERS]}, self.status, headers)


def record(
    value: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None
) -> responses.Response:
    """A JSON object as an answer that nobody caches."""
    body = json.dumps(value, separators=(",", ":")).encode() + b"\n"
    return responses.Response(body, status, {"cache-control": "no-store", **(headers or {})}, "application/json")


def of(error: errors.LedgerError, *, putting: bool = False) -> Refusal:
    """The refusal that the ledger's error comes to.

    Args:
        error: what the rules, or the log, said.
        putting: whether a file was to be put: what its author may not do is then forbidden, and no conflict.
    """
    match error:
        case errors.StatementError():
            return Refusal(413 if error.code == "too-large" else 400, error.code, str(error))
        case errors.SignatureError():
            return Refusal(401, "bad-signature", str(error))
        case errors.HistoryError():
            return Refusal(403 if putting and error.reason in _FORBIDDEN else 409, error.reason, str(error))
    return busy(f"the log cannot be written or read now: {error}")


def busy(message: str) -> Refusal:
    """The refusal of what may go well a second later."""
    return Refusal(503, "busy", message)
