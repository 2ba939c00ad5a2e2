"""The kinds of field a predicate may hold, each a type and its one strict reading of JSON.

A kind is `Annotated[type, read]`, where `read(json) -> value` refuses all that is not in the kind's range with a
StatementError. `statements` names kinds in its dataclasses and reads them back from there, so a range is written once.
"""

import dataclasses
import functools
import itertools
import re
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NoReturn, TypeVar

from ledger import canonical, errors, keys

T = TypeVar("T")

MAX_RUNTIME_ENTRIES = 16
# The accounts of credit: where a run's credit comes from, and the prefix of a member's own.
ISSUED = "issued"
MEMBER = "member:"

_BECH32 = "[02-9ac-hj-np-z]"


def refuse(value: object, expected: str) -> NoReturn:
    """Nothing; raises StatementError with the value, shortened, and what was expected.

    Raises:
        StatementError: Always.
    """
    raise errors.StatementError(f"{ascii(value)[:100]}, expected {expected}")


def readers(kind: type) -> dict[str, Callable[[canonical.Json], Any]]:
    """The reader of each field of a dataclass whose fields are of kinds of this module, in their order."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name].__metadata__[0] for field in dataclasses.fields(kind)}


def read(
    name: str, each: Mapping[str, Callable[[canonical.Json], Any]], value: Mapping[str, canonical.Json]
) -> dict[str, Any]:
    """The values of all fields of a predicate type, each read by its reader.

    Raises:
        StatementError: A field is missing, unknown or outside its range; the message names type and field.
    """
    if value.keys() != each.keys():
        refuse(sorted(value), f"exactly the fields {sorted(each)} of {name}")
    values = {}
    for field, reader in each.items():
        try:
            values[field] = reader(value[field])
        except errors.StatementError as error:
            raise errors.StatementError(f"{name}, field {field}: {error}") from error
    return values


def text(pattern: str, expected: str) -> Callable[[canonical.Json], str]:
    """A reader of strings that match the whole of a regular expression."""
    compiled = re.compile(pattern)

    def read(value: canonical.Json) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            refuse(value, expected)
        return value

    return read


def integer(low: int, high: int = canonical.MAX_INTEGER) -> Callable[[canonical.Json], int]:
    """A reader of integers low <= value <= high; true and false are none."""

    def read(value: canonical.Json) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            refuse(value, f"an integer from {low} to {high}")
        return value

    return read


def items(read_item: Callable[[canonical.Json], T]) -> Callable[[canonical.Json], tuple[T, ...]]:
    """A reader of lists, as tuples."""

    def read(value: canonical.Json) -> tuple[T, ...]:
        if not isinstance(value, list):
            refuse(value, "a list")
        return tuple(read_item(item) for item in value)

    return read


def pairs(
    read_key: Callable[[canonical.Json], str], read_item: Callable[[canonical.Json], T]
) -> Callable[[canonical.Json], tuple[tuple[str, T], ...]]:
    """A reader of lists of [key, item], in ascending order of key, no key twice."""

    def read_pair(value: canonical.Json) -> tuple[str, T]:
        if not isinstance(value, list) or len(value) != 2:
            refuse(value, "a pair [key, item]")
        return read_key(value[0]), read_item(value[1])

    def read(value: canonical.Json) -> tuple[tuple[str, T], ...]:
        read_pairs = items(read_pair)(value)
        _ascending([key for key, _ in read_pairs])
        return read_pairs

    return read


def ascending(read_item: Callable[[canonical.Json], T]) -> Callable[[canonical.Json], tuple[T, ...]]:
    """A reader of lists in strictly ascending order, as tuples."""

    def read(value: canonical.Json) -> tuple[T, ...]:
        values = items(read_item)(value)
        _ascending(values)
        return values

    return read


def _ascending(values: Any) -> None:  # noqa: ANN401 - any one ordered type
    if any(left >= right for left, right in itertools.pairwise(values)):
        refuse(values, "strictly ascending order")


def _nonempty(value: tuple[T, ...]) -> tuple[T, ...]:
    if not value:
        refuse(value, "at least one")
    return value


def read_ssh_key(value: canonical.Json) -> str:
    """An OpenSSH Ed25519 public key line (docs/protocol.md P2)."""
    if not isinstance(value, str):
        refuse(value, "an ssh-ed25519 line")
    try:
        return str(keys.PublicKey.parse(value))
    except errors.KeyFileError as error:
        raise errors.StatementError(str(error)) from error


def read_object(value: canonical.Json) -> dict[str, Any]:
    """Any JSON object."""
    if not isinstance(value, dict):
        refuse(value, "an object")
    return value


def read_runtime(value: canonical.Json) -> dict[str, str]:
    """An execution fingerprint: at most 16 entries of printable ASCII, names to 32, values to 128 characters."""
    if not isinstance(value, Mapping) or len(value) > MAX_RUNTIME_ENTRIES:
        refuse(value, f"an object of at most {MAX_RUNTIME_ENTRIES} entries")
    if not all(isinstance(item, str) for item in value.values()):
        refuse(value, "texts")
    return dict(_read_entries(tuple(value.items())))


@functools.lru_cache(maxsize=64)  # the members of a run have few machines
def _read_entries(entries: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((read_runtime_name(name), read_runtime_value(item)) for name, item in entries)


def read_cohort(value: canonical.Json) -> tuple[str, ...]:
    """Member names, at least one, ascending."""
    return _nonempty(ascending(read_name)(value))


def read_recipients(value: canonical.Json) -> tuple[str, ...]:
    """Age recipients, at least one, no two equal."""
    recipients = _nonempty(items(read_recipient)(value))
    if len(set(recipients)) != len(recipients):
        refuse(value, "distinct recipients")
    return recipients


def read_signature(value: canonical.Json) -> str:
    """The 64 bytes of an Ed25519 signature in base64, standard, padded and canonical."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9+/]{85}[AQgw]==", value):
        refuse(value, "the base64 of 64 bytes")
    return value


def read_postings(value: canonical.Json) -> tuple[tuple[str, int], ...]:
    """Pairs [account, micro-credits], accounts ascending, amounts not zero and in sum exactly zero."""
    postings = pairs(read_account, integer(-canonical.MAX_INTEGER))(value)
    if any(amount == 0 for _, amount in postings) or sum(amount for _, amount in postings) != 0:
        refuse(value, "amounts that are not zero and sum to zero")
    return postings


_NAME = "[a-z0-9][a-z0-9-]{0,62}"
_TRANSFER = "[a-z0-9][a-z0-9./-]{0,62}"
read_name = text(_NAME, "a name: a-z, 0-9 and hyphen, at most 63 characters")
read_account = text(f"{ISSUED}|{MEMBER}{_NAME}", f"an account: {ISSUED}, or {MEMBER} and a name")
read_hex64 = text(r"[0-9a-f]{64}", "64 lower-case hex digits")
# CIDv1, base32, raw or dag-pb, sha2-256: the first characters spell the four prefix bytes, and the last character's
# two spare bits are zero, so that one block has one text.
read_cid = text(r"baf(kr|yb)ei[a-h][a-z2-7]{50}[aeimquy4]", "a CIDv1 of a raw or dag-pb block under sha2-256")
read_recipient = text(rf"age1{_BECH32}{{58}}|age1pq1{_BECH32}{{1952}}", "an age recipient, age1... or age1pq1...")
read_identity = text(rf"AGE-SECRET-KEY-(PQ-)?1{_BECH32.upper()}{{58}}", "an age identity, AGE-SECRET-KEY-...")
read_reason = text(r"[a-z][a-z0-9-]{0,40}", "a reason code: a-z, 0-9 and hyphen, at most 41 characters")
read_runtime_name = text(r"[!-~]{1,32}", "1 to 32 printable characters without space")
read_runtime_value = text(r"[ -~]{1,128}", "1 to 128 printable characters")
read_natural = integer(0)
read_exponent = integer(-60, 30)

Name = Annotated[str, read_name]
Role = Annotated[str, text("holder|aggregator", "the role 'holder' or 'aggregator'")]
SshKey = Annotated[str, read_ssh_key]
Hex64 = Annotated[str, read_hex64]
Cid = Annotated[str, read_cid]
Recipient = Annotated[str, read_recipient]
Identity = Annotated[str, read_identity]
Signature = Annotated[str, read_signature]
Reason = Annotated[str, read_reason]
TransferId = Annotated[str, text(_TRANSFER, "an id: a-z, 0-9, dot, slash and hyphen, at most 63 characters")]
TransferCode = Annotated[str, text("round|reversal", "the code 'round' or 'reversal'")]
Reverses = Annotated[str, text(f"({_TRANSFER})?", "the id of a transfer, or nothing")]
Natural = Annotated[int, read_natural]
Positive = Annotated[int, integer(1)]
Object = Annotated[dict[str, Any], read_object]
Runtime = Annotated[dict[str, str], read_runtime]
Cohort = Annotated[tuple[str, ...], read_cohort]
Members = Annotated[tuple[str, ...], ascending(read_name)]
Recipients = Annotated[tuple[str, ...], read_recipients]
Exponents = Annotated[tuple[int, ...], items(read_exponent)]
Positions = Annotated[tuple[int, ...], ascending(read_natural)]
Scores = Annotated[tuple[int, ...], items(integer(-canonical.MAX_INTEGER))]
Reasons = Annotated[tuple[tuple[str, str], ...], pairs(read_name, read_reason)]
Postings = Annotated[tuple[tuple[str, int], ...], read_postings]
