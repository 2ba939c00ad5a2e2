"""An offer on its way: first the sealed bytes, under the signed offer that announces them, then the offer itself.

Both are the same each time they are sent, so whatever was lost on the way, or whoever was killed, sending again is safe.
"""

import tempfile
from pathlib import Path
from typing import BinaryIO, cast

from client import errors, remote
from exchange import store as stores
from ledger import dsse, statements

_LATE = ("out-of-order", "wrong-round", "wrong-parent", "not-in-cohort", "declined")


def deliver(offer: dsse.Envelope, store: stores.Store, service: remote.Service, *, staging: Path) -> int:
    """The position of the offer in the log, the service having its bytes.

    Args:
        offer: signed; its ciphertext is in `store`.
        store: the holder's own.
        service: where both go.
        staging: folder for a copy of the ciphertext.

    Raises:
        RefusalError: the round is over, or for another reason the log takes no such offer; `code` says which.
        ForkedError: the log has another offer of ours to this round: somebody else uses our key.
        ServiceError: the service did not answer, or takes no such bytes now; deliver the same again.
        StoreError: the ciphertext cannot be read.
    """
    statement = statements.parse(offer.payload)
    if not isinstance(statement, statements.UpdateOffer):
        raise errors.RefusalError("not-an-offer", f"expected update.offer, got {type(statement).__name__}")
    try:
        with tempfile.TemporaryFile(dir=staging) as staged:
            file = cast("BinaryIO", staged)
            store.get_file(statement.ciphertext, file, limit=statement.size)
            file.seek(0)
            service.put(statement.ciphertext, file, statement.size, offer)
        return service.append(offer)
    except errors.RejectedError as error:
        if error.code == "equivocation":
            message = f"the log has another offer of {statement.author} to round {statement.round}"
            raise errors.ForkedError(
                f"{message}: somebody else uses our key, or an older copy of our folder"
            ) from error
        if error.code in _LATE:
            raise errors.RefusalError(
                "late", f"round {statement.round} takes no offer of ours any more: {error}"
            ) from error
        raise
