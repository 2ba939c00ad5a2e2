"""Verify the proof files of a log and its checkpoint with sigstore-python's code for Rekor."""

import types

import evidence
from cryptography.hazmat.primitives.asymmetric import ed25519
from sigstore._internal import merkle, trust
from sigstore._internal.rekor import checkpoint
from sigstore._utils import KeyID


def keyring(raw, identity):
    """A keyring of the log's key; the constructor would want the key's record in a trusted root."""
    key = trust.Key.__new__(trust.Key)
    key.key, key.hash_algorithm, key.key_id = ed25519.Ed25519PublicKey.from_public_bytes(raw), None, identity
    found = trust.Keyring()
    found._keyring[identity] = key
    return found


def verify(folder):
    origin, identity, raw = evidence.key(folder)
    keys, leaves = keyring(raw, identity), list(evidence.leaves(folder))
    newest = (folder / "log" / "checkpoint").read_bytes().decode()
    counted = 0
    for index, hashes, signed in evidence.proofs(folder):
        for text in (signed, newest):
            promise = checkpoint.SignedCheckpoint.from_text(text)
            promise.signed_note.verify(keys, KeyID(identity))
            if promise.checkpoint.origin != origin:
                raise evidence.RefusedError(f"checkpoint of {promise.checkpoint.origin}")
        claim = types.SimpleNamespace(
            inclusion_proof=types.SimpleNamespace(
                log_index=index,
                tree_size=promise.checkpoint.log_size,
                hashes=hashes,
                root_hash=bytes.fromhex(promise.checkpoint.log_hash),
                checkpoint=types.SimpleNamespace(envelope=newest),
            ),
            log_id=types.SimpleNamespace(key_id=identity),
            canonicalized_body=leaves[index],
        )
        entry = types.SimpleNamespace(_inner=claim)
        merkle.verify_merkle_inclusion(entry)
        checkpoint.verify_checkpoint(keys, entry)
        counted += 1
    return {"proofs": counted}


if __name__ == "__main__":
    evidence.main(verify)
