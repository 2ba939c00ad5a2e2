"""Verify every envelope of a log with securesystemslib, under the key that its author enrolled."""

import base64
import json

import evidence
from cryptography.hazmat.primitives.asymmetric import ed25519
from securesystemslib import dsse
from securesystemslib.signer import SSlibKey


def verify(folder):
    _, _, pinned = evidence.key(folder)
    keys, count = {}, 0
    for leaf in evidence.leaves(folder):
        envelope = dsse.Envelope.from_dict(json.loads(leaf)["dsse"])
        if envelope.payload_type != "application/vnd.in-toto+json":
            raise evidence.RefusedError(f"entry {count}: payload type {envelope.payload_type}")
        predicate = json.loads(envelope.payload)["predicate"]
        author = predicate["author"]
        if author not in keys:
            raw = base64.b64decode(predicate["key"].split(" ")[1])[-32:]
            if count == 0 and raw != pinned:
                raise evidence.RefusedError("the genesis names another key")
            keys[author] = SSlibKey.from_crypto(ed25519.Ed25519PublicKey.from_public_bytes(raw))
        # It looks for the key by the keyid of the signature, which is not signed. So the author's key gets that name.
        (named,) = envelope.signatures
        keys[author].keyid = named
        envelope.verify([keys[author]], threshold=1)
        count += 1
    return {"envelopes": count}


if __name__ == "__main__":
    evidence.main(verify)
