"""The context digest, which ties an update to its run, round, parent and sender."""

import functools
import hashlib

from ledger import canonical


@functools.lru_cache(maxsize=1024)  # whoever plays a holder, the ledger, and who opens the update ask in turn
def context_digest(run: str, round: int, parent: str, sender: str) -> bytes:  # noqa: A002 - the protocol's word
    """The 32-byte sha256 of `{"parent":cid,"round":n,"run":hex,"sender":name,"v":1}` as canonical JSON.

    Args:
        run: Hex eid of the run's genesis.
        round: Number of the round, from 1.
        parent: CID of the checkpoint that the round starts from.
        sender: Name of the member who offers.

    Reference: docs/protocol.md P10.
    """
    value: canonical.Json = {"parent": parent, "round": round, "run": run, "sender": sender, "v": 1}
    return hashlib.sha256(canonical.encode(value)).digest()
