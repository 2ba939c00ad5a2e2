"""Who may say what over HTTP: less than the ledger's rules allow, since the coordinator speaks for itself elsewhere.

member.enrol       of a name and a key that FOLDER/expected.json names together
member.rotate      by any member but the coordinator
member.revoke      of oneself
the rest of `MEMBERS` as the rules of the log say
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from ledger import errors, history, keys, statements
from orchestrator import turnstile
from orchestrator.serving import answer

MEMBERS = frozenset(
    f"urn:folkmoot:{name}:v1"
    for name in (
        "member.enrol",
        "member.rotate",
        "member.revoke",
        "update.offer",
        "round.decline",
        "round.cosign",
        "round.dispute",
        "round.recipient",
        "round.destroy",
    )
)
MOST_BYTES = 4 * 1024 * 1024

_KINDS = tuple(kind for name, kind in statements.TYPES.items() if name in MEMBERS)


class Measure:
    """How much each member says: what is on the log by its own signature counts, and nothing that was refused.

    Statements that are judged together are all measured before any of them counts. What was too much then is owed.

    Args:
        burst: statements at once.
        rate: statements a second after that.
    """

    def __init__(self, *, burst: int, rate: float) -> None:
        self._gate = turnstile.Turnstile(burst=burst, rate=rate)
        self._rate = rate

    def check(self, statement: statements.Predicate) -> None:
        """Nothing, if its author may say something more now.

        Raises:
            Refusal: 429.

        Reference: docs/protocol.md P24.
        """
        if not self._gate.open(statement.author):
            message = f"the log takes {self._rate:g} statements a second of {statement.author}"
            raise answer.Refusal(429, "rate", message)

    def spend(self, appended: Iterable[statements.Predicate]) -> None:
        """Nothing; these are on the log now, and were not before."""
        for each in appended:
            self._gate.spend(each.author)


def check(known: history.History, statement: statements.Predicate, expected: Path) -> None:
    """Nothing, if a member may say this here; whether it fits and who signed it, the log's rules say.

    Args:
        known: what the log says.
        statement: what is to be said.
        expected: the file of expected members, which need not be there.

    Raises:
        Refusal: 403; or 503, where that file cannot be read.

    Reference: docs/protocol.md P24.
    """
    if not isinstance(statement, _KINDS):
        raise _forbidden(f"{type(statement).__name__} is not said through this service")
    if statement.author == known.coordinator:
        raise _forbidden(f"{statement.author} is the coordinator, who does not speak through this service")
    match statement:
        case statements.MemberEnrol(author=name, key=line):
            if named(expected).get(name) != keys.PublicKey.parse(line).fingerprint:
                raise _forbidden(f"{name} is not expected with that key: `folkmoot enrol` expects somebody")
        case statements.MemberRevoke(author=name, member=other) if name != other:
            raise _forbidden(f"{name} revokes {other}, expected a member to revoke itself")


def named(path: Path) -> Mapping[str, str]:
    """Name -> fingerprint, of the members who are expected; empty where there is no file.

    Raises:
        Refusal: 503; the file is no JSON object of strings.
    """
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(MOST_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise answer.busy(f"{path.name} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise answer.busy(f"{path.name} is no JSON object of name and fingerprint")
    return found


def _forbidden(message: str) -> answer.Refusal:
    return answer.Refusal(403, "not-entitled", message)


def update_limit(checkpoint_size: int) -> int:
    """Bytes that a sealed update may have, for a model whose checkpoint file has so many.

    The checkpoint has 4 bytes for each parameter, the update 2, chunk tags, and 128 KiB for its headers. What the settlement
    asks is exact; this is above it by half the checkpoint's header at most, and needs no model.
    """
    parameters = checkpoint_size // 4
    return 2 * parameters + parameters // 2048 + 2**17


def offered(
    known: history.History, offer: statements.Predicate, outcome: errors.LedgerError | None, cid: str
) -> statements.UpdateOffer:
    """The offer, if it is signed by its author and may announce the file that is put now.

    Args:
        known: what the log says.
        offer: the statement in the request's head.
        outcome: what the log's rules say of it as the next entry; None where they admit it.
        cid: the name that the file is put under.

    Raises:
        Refusal: 400, 401, 403 or 409.

    Reference: docs/protocol.md P24.
    """
    if not isinstance(offer, statements.UpdateOffer):
        raise _forbidden(f"a {type(offer).__name__} announces no file, expected an update.offer")
    again = isinstance(outcome, errors.HistoryError) and outcome.reason == "duplicate-offer"
    if outcome is not None and not again:
        raise answer.of(outcome, putting=True)
    if known.open_round is None or offer.ciphertext != cid:
        raise answer.Refusal(409, "wrong-cid", f"{cid} is put, the offer announces {offer.ciphertext}")
    return offer
