"""An in-toto Statement v1 around a predicate.

::

    {"_type":"https://in-toto.io/Statement/v1","predicate":{<the fields>},"predicateType":"urn:folkmoot:<type>:v1",
     "subject":[{"digest":{"sha256":"<hex>"},"name":"<text>"}]}

as canonical JSON. The subject follows from the predicate: where the statement is about a block or a key, its text and
sha256; otherwise `<type>/<author>` and the sha256 of the canonical predicate. So it is checked and never chosen.
"""

import hashlib
from collections.abc import Mapping

from ledger import canonical, keys

TYPE = "https://in-toto.io/Statement/v1"
_FORM = b'{"_type":"' + TYPE.encode() + b'","predicate":%s,"predicateType":"%s","subject":%s}'

# The digits of base 32 as Python's int() has them: in C, where base64.b32decode is a loop.
_BASE32 = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv")
_BLOCKS = {"genesis": "checkpoint", "round.open": "parent", "update.offer": "ciphertext", "round.commit": "checkpoint"}
_KEYS = {"member.enrol": "key", "member.rotate": "key"}


def statement(name: str, predicate: Mapping[str, canonical.Json]) -> dict[str, canonical.Json]:
    """The statement, as a JSON object, that states a predicate whose fields have been read.

    Args:
        name: Predicate type, `urn:folkmoot:<type>:v1`.
        predicate: Field -> JSON value, in range.

    Reference: in-toto attestation spec v1, statement.md; docs/protocol.md P3.
    """
    about, digest = _subject(name, predicate, None)
    return {
        "_type": TYPE,
        "predicate": dict(predicate),
        "predicateType": name,
        "subject": [{"digest": {"sha256": digest}, "name": about}],
    }


def payload(name: str, predicate: Mapping[str, canonical.Json], written: bytes) -> bytes:
    """The bytes of `statement`, around those of the predicate.

    Args:
        name: Predicate type, `urn:folkmoot:<type>:v1`.
        predicate: Field -> JSON value, in range.
        written: The predicate as canonical JSON.

    Raises:
        StatementError: They are more than a statement may have.
    """
    about, digest = _subject(name, predicate, written)
    subject = canonical.encode([{"digest": {"sha256": digest}, "name": about}])
    return canonical.bounded(_FORM % (written, name.encode(), subject))


def _subject(name: str, predicate: Mapping[str, canonical.Json], written: bytes | None) -> tuple[str, str]:
    kind = name.split(":")[2]
    if kind in _BLOCKS:
        cid = str(predicate[_BLOCKS[kind]])
        return cid, _cid_digest(cid)
    if kind in _KEYS:
        line = str(predicate[_KEYS[kind]])
        return line, keys.PublicKey.parse(line).digest.hex()
    data = canonical.encode(dict(predicate)) if written is None else written
    return f"{kind}/{predicate['author']}", hashlib.sha256(data).hexdigest()


def _cid_digest(cid: str) -> str:
    # 58 characters are 36 bytes and 2 spare bits: version, codec, hash function, length, and the 32 of the sha256.
    return f"{int(cid[1:].translate(_BASE32), 32) >> 2:072x}"[8:]
