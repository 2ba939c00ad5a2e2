"""What came of a sealed phase of a run that a Flower strategy leads: which replies open, and what is said of it on the ledger.

    {"format":"folkmoot-harvest/v1","replies":{"node-00":"<CID of the reply's ciphertext>", ...}}

This is exactly what the strategy was given. The commit names it as its aggregate; anybody writes it from the log, so it is not
stored.

Reference: docs/protocol.md P27.
"""

import dataclasses
import types
from collections.abc import Mapping, Sequence
from typing import Any

from client import errors, records
from exchange import errors as exchange_errors
from exchange import recipients, sealing, unixfs
from exchange import store as stores
from ledger import canonical, context, rounds, statements

HARVEST = "folkmoot-harvest/v1"
MOST_HARVEST = 1 << 26
REFUSALS = (
    exchange_errors.BlockMissingError,
    exchange_errors.BlockCorruptError,
    exchange_errors.TooLargeError,
    exchange_errors.SealError,
    errors.RecordsError,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """What came of a sealed phase.

    Attributes:
        contents: records by node, of the replies that opened.
        ciphertexts: CID of each as it was sealed.
        rejected: every other node, with its reason code.
    """

    contents: Mapping[str, Any]
    ciphertexts: Mapping[str, str]
    rejected: Mapping[str, str]

    def encode(self) -> bytes:
        """The bytes that the commit names."""
        return canonical.encode({"format": HARVEST, "replies": dict(self.ciphertexts)}, limit=MOST_HARVEST)


def gathered(
    record: rounds.RoundRecord,
    store: stores.Store,
    identity: str,
    at_hand: Mapping[str, bytes] = types.MappingProxyType({}),
) -> Harvest:
    """What the replies of a sealed phase are: the coordinator opens them, and an auditor again.

    Args:
        record: the phase.
        store: where ciphertext is read from.
        identity: text of the age identity that its replies are sealed to.
        at_hand: small ciphertexts by their CIDs, where the caller has hashed them: what the store need not be asked for.
    """
    readers = [recipients.parse_identity(identity)]
    contents: dict[str, Any] = {}
    ciphertexts: dict[str, str] = {}
    rejected = dict.fromkeys(record.open.cohort, "no-offer") | dict.fromkeys(record.declined, "declined")
    for name in sorted(record.sealed):
        offer = record.offers[name][1]
        bound = context.context_digest(offer.run, offer.round, offer.parent, name)
        try:
            contents[name] = records.decode(records.behind(_opened(offer, store, readers, bound, at_hand), bound))
        except REFUSALS as error:
            rejected[name] = error.code
        else:
            ciphertexts[name] = offer.ciphertext
            del rejected[name]
    return Harvest(contents=contents, ciphertexts=ciphertexts, rejected=rejected)


def _opened(
    offer: statements.UpdateOffer,
    store: stores.Store,
    readers: Sequence[recipients.Identity],
    bound: bytes,
    at_hand: Mapping[str, bytes],
) -> memoryview:
    """What an offered ciphertext holds."""
    if offer.size > unixfs.CHUNK:
        return sealing.collect(store, offer.ciphertext, size=offer.size, identities=readers, context=bound)
    sealed = at_hand.get(offer.ciphertext) or store.get(offer.ciphertext, limit=offer.size)
    if len(sealed) != offer.size:
        raise exchange_errors.SealError(f"file has {len(sealed)} bytes, expected {offer.size}")
    return sealing.unseal(sealed, identities=readers, context=bound)
