"""What names in a plan's task may be: those that people read, and those of files."""

from collections.abc import Sequence

from client import errors
from exchange import cid
from exchange import errors as exchange_errors

MAX_NAME = 100


def require_names(field: str, listed: Sequence[str]) -> None:
    """Nothing, if no two of `listed` are one, and each can be shown to a person as it is.

    Raises:
        PlanError: some name is empty, too long, there twice, or has a character that is not printable.
    """
    if len(set(listed)) != len(listed) or not all(0 < len(each) <= MAX_NAME and each.isprintable() for each in listed):
        wanted = f"different names of 1 to {MAX_NAME} printable characters"
        raise errors.PlanError(f"task.{field} are {list(listed)}, expected {wanted}")


def require_cid(text: str) -> None:
    """Nothing, if `text` names a public test set.

    Raises:
        PlanError: it does not.
    """
    try:
        cid.Cid.parse(text)
    except exchange_errors.CidError as error:
        message = f"task.test is {text[:80]!r}, expected the CID of the public test set"
        raise errors.PlanError(f"{message}: in a configuration, task.test=FILE") from error
