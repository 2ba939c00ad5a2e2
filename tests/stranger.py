"""An auditor of the example run of docs/protocol.md, written from that document alone: nothing of folkmoot is imported.

It covers what the example needs: `mean`, X25519, files of one block, disclosure `public`.
"""

import base64
import hashlib
import hmac
import itertools
import json
import math
import struct
from collections.abc import Mapping
from fractions import Fraction

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SHAPES = (("0.weight", [1, 64]), ("0.bias", [1]), ("2.weight", [10, 1]), ("2.bias", [10]))
SIZES = (64, 1, 10, 10)
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def audit(leaves: list[bytes], notes: list[str], files: Mapping[str, bytes]) -> dict[str, int]:
    """Credits of the one round of a run; AssertionError, InvalidSignature or ValueError at the first difference."""
    said = statements(leaves)
    genesis, opened, seal, commit, paid, disclosed = (
        next(predicate for kind, predicate in said if kind == name)
        for name in ("genesis", "round.open", "round.seal", "round.commit", "credit.transfer", "round.disclose")
    )
    for note in notes:
        log_checkpoint(note, genesis["key"], leaves)
    for name, data in files.items():
        assert name == cid(data)
    plan, run = genesis["plan"], opened["run"]
    weights = [value for (value,) in struct.iter_unpack("<f", tensors(files[genesis["checkpoint"]], "F32")[1])]
    assert opened["exponents"] == first_exponents(weights, plan["lattice"]["headroom_bits"])
    assert opened["cohort"] == sorted(p["member"] for kind, p in said if kind == "member.role")
    assert opened["rule"] == hashlib.sha256(canonical(plan["rule"])).hexdigest()
    rows, rejected = {}, dict.fromkeys(opened["cohort"], "no-offer")
    for position in seal["offers"]:
        offer = said[position][1]
        try:
            rows[offer["author"]] = update(offer, run, disclosed["identity"], files[offer["ciphertext"]])
            del rejected[offer["author"]]
        except NotAgeError:
            rejected[offer["author"]] = "seal-garbage"
    members = sorted(rows)
    assert commit["accepted"] == members
    assert commit["rejected"] == [[name, rejected[name]] for name in sorted(rejected)]
    matrix = [rows[name] for name in members]
    refined = [round(Fraction(sum(column) / len(matrix)) * 256) for column in zip(*matrix, strict=True)]
    assert files[commit["aggregate"]] == file("I32", "i", refined, {"format": "folkmoot-aggregate/v1"})
    assert (plan["outer"]["name"], plan["outer"]["late_rounds"]) == ("sgd", 0)
    after = outer(weights, refined, opened["exponents"], float(plan["outer"]["learning_rate"]))
    metadata = {"format": "folkmoot-checkpoint/v1", "parent": opened["parent"], "round": "1"}
    assert files[commit["checkpoint"]] == file("F32", "f", after, metadata)
    shares = split(plan["credit"]["pool"], {name: score(rows[name], refined, len(rows)) for name in members})
    earned = {f"member:{name}": share for name, share in shares.items() if share}
    issued = {"issued": -sum(earned.values())} if earned else {}
    assert paid["postings"] == [[account, amount] for account, amount in sorted((issued | earned).items())]
    assert (paid["id"], paid["code"], paid["reverses"]) == (f"round/{paid['round']}", "round", "")
    return shares


def canonical(value: object) -> bytes:
    """P1."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def statements(leaves: list[bytes]) -> list[tuple[str, dict]]:
    """P2, P3, P4, P6: the predicates by type, hashes, links, eids, subjects and signatures verified."""
    said, keys, prev, run = [], {}, "0" * 64, None
    for seq, leaf in enumerate(leaves):
        entry = json.loads(leaf)
        assert canonical(entry) == leaf
        assert (entry["prev"], entry["seq"], entry["v"]) == (prev, seq, 1)
        payload = base64.b64decode(entry["dsse"]["payload"])
        statement = json.loads(payload)
        assert canonical(statement) == payload
        predicate, kind = statement["predicate"], statement["predicateType"].split(":")[2]
        pae = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)
        if "key" in predicate:
            keys[predicate["author"]] = blob(predicate["key"])[-32:]
        key = ed25519.Ed25519PublicKey.from_public_bytes(keys[predicate["author"]])
        key.verify(base64.b64decode(entry["dsse"]["signatures"][0]["sig"]), pae)
        run = run or hashlib.sha256(pae).hexdigest()
        assert predicate.get("run", run) == run
        assert statement["subject"] == [subject(kind, predicate)]
        said.append((kind, predicate))
        prev = leaf_hash(leaf).hex()
    return said


def subject(kind: str, predicate: dict) -> dict:
    """P3."""
    about = {
        "genesis": "checkpoint",
        "round.commit": "checkpoint",
        "round.open": "parent",
        "update.offer": "ciphertext",
    }
    if kind in about:
        name = predicate[about[kind]]
        digest = base64.b32decode(name[1:].upper() + "======")[4:].hex()
    elif kind == "member.enrol":
        name, digest = predicate["key"], hashlib.sha256(blob(predicate["key"])).hexdigest()
    else:
        name, digest = f"{kind}/{predicate['author']}", hashlib.sha256(canonical(predicate)).hexdigest()
    return {"digest": {"sha256": digest}, "name": name}


def blob(line: str) -> bytes:
    """P2."""
    return base64.b64decode(line.removeprefix("ssh-ed25519 "))


def leaf_hash(leaf: bytes) -> bytes:
    """P4."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def root(hashes: list[bytes]) -> bytes:
    """P4."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + root(hashes[:k]) + root(hashes[k:])).digest()


def log_checkpoint(note: str, line: str, leaves: list[bytes]) -> None:
    """P5."""
    text, signature = note.split("\n\n")
    fingerprint = base64.b64encode(hashlib.sha256(blob(line)).digest()).decode().rstrip("=")
    origin = "folkmoot/" + fingerprint.replace("+", "-").replace("/", "_")
    name, size, encoded = text.split("\n")
    assert name == origin
    assert base64.b64decode(encoded) == root([leaf_hash(leaf) for leaf in leaves[: int(size)]])
    dash, signer, payload = signature.removesuffix("\n").split(" ")
    key = blob(line)[-32:]
    assert (dash, signer) == ("\u2014", origin)
    assert base64.b64decode(payload)[:4] == hashlib.sha256(f"{origin}\n\x01".encode() + key).digest()[:4]
    ed25519.Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(payload)[4:], f"{text}\n".encode())


def exponent(magnitude: Fraction) -> int:
    """P9."""
    return next((e for e in range(-60, 30) if magnitude <= 32767 * Fraction(2) ** e), 30)


def first_exponents(weights: list[float], headroom: int) -> list[int]:
    """P9."""
    starts = [sum(SIZES[:t]) for t in range(len(SIZES) + 1)]
    peaks = [max(abs(Fraction(w)) for w in weights[a:b]) for a, b in itertools.pairwise(starts)]
    return [exponent((peak or max(peaks) or 1) * Fraction(2) ** headroom) for peak in peaks]


class NotAgeError(Exception):
    """A file that does not begin as an age file does."""


def update(offer: dict, run: str, identity: str, sealed: bytes) -> list[int]:
    """P10: the integers of a sealed update."""
    bound = {"parent": offer["parent"], "round": offer["round"], "run": run, "sender": offer["author"], "v": 1}
    context = hashlib.sha256(canonical(bound)).digest()
    assert offer["context"] == context.hex()
    assert offer["size"] == len(sealed) <= 2 * sum(SIZES) + sum(SIZES) // 2048 + 131072
    metadata, data = tensors(unseal(sealed, identity, context), "I16")
    assert metadata == {"context": context.hex(), "format": "folkmoot-update/v1"}
    integers = [value for (value,) in struct.iter_unpack("<h", data)]
    assert -32768 not in integers
    return integers


def unseal(sealed: bytes, identity: str, context: bytes) -> bytes:
    """P10: the plaintext of an age file with a context stanza and one X25519 stanza."""
    head, _, rest = sealed.partition(b"\n--- ")
    if not head.startswith(b"age-encryption.org/v1\n"):
        raise NotAgeError
    mac, payload = rest[:43], rest[44:]
    _, first, body, second, wrapped = head.decode().split("\n")
    assert (first, unpadded(body)) == ("-> folkmoot/context v1", context)
    share = unpadded(second.removeprefix("-> X25519 "))
    private = x25519.X25519PrivateKey.from_private_bytes(bech32(identity))
    shared = private.exchange(x25519.X25519PublicKey.from_public_bytes(share))
    salt = share + private.public_key().public_bytes_raw()
    wrap = hkdf(shared, salt, b"age-encryption.org/v1/X25519")
    file_key = ChaCha20Poly1305(wrap).decrypt(bytes(12), unpadded(wrapped), None)
    assert unpadded(mac.decode()) == hmac.digest(hkdf(file_key, b"", b"header"), head + b"\n---", "sha256")
    chunk_key = hkdf(file_key, payload[:16], b"payload")
    return ChaCha20Poly1305(chunk_key).decrypt(bytes(11) + b"\x01", payload[16:], None)


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """P10."""
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


def unpadded(text: str) -> bytes:
    """P10."""
    return base64.b64decode(text + "=" * (-len(text) % 4))


def bech32(text: str) -> bytes:
    """P10: the bytes of a bech32 text, its checksum unchecked."""
    words = [BECH32.index(character) for character in text.lower().rpartition("1")[2][:-6]]
    bits = "".join(f"{word:05b}" for word in words)
    return bytes(int(bits[start : start + 8], 2) for start in range(0, len(bits) // 8 * 8, 8))


def tensors(data: bytes, kind: str) -> tuple[dict[str, str], bytes]:
    """P10: metadata and data of a tensor file."""
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    assert data[8 : 8 + size] == header(kind, metadata)
    return metadata, data[8 + size :]


def header(kind: str, metadata: dict[str, str]) -> bytes:
    """P10."""
    width, start, members = int(kind[1:]) // 8, 0, {"__metadata__": dict(sorted(metadata.items()))}
    for (name, shape), size in zip(SHAPES, SIZES, strict=True):
        members[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, start + width * size]}
        start += width * size
    text = json.dumps(members, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def file(kind: str, code: str, values: list, metadata: dict[str, str]) -> bytes:
    """P10."""
    head = header(kind, metadata)
    return len(head).to_bytes(8, "little") + head + struct.pack(f"<{len(values)}{code}", *values)


def cid(data: bytes) -> str:
    """P11, for a file of one leaf."""
    binary = b"\x01\x55\x12\x20" + hashlib.sha256(data).digest()
    return "b" + base64.b32encode(binary).decode().lower().rstrip("=")


def outer(weights: list[float], refined: list[int], exponents: list[int], rate: float) -> list[float]:
    """P13; the cast to float32 is `struct`'s, which rounds to nearest, ties to even."""
    steps = [2.0 ** (e - 8) for e, size in zip(exponents, SIZES, strict=True) for _ in range(size)]
    return [w + rate * (r * step) for w, r, step in zip(weights, refined, steps, strict=True)]


def moved(row: dict) -> tuple[str, dict[str, str]]:
    """P13: weights and state after a step of any optimizer, each operation a Python float's, in hex."""
    state = {part: _values("d", text) for part, text in row["state_before"].items()}
    columns = list(zip(_values("f", row["before"]), row["refined"], strict=True))
    if not any(row["refined"]):
        return _hex("f", [w + 0.0 for w, _ in columns]), row["state_before"]
    rate, m, c, t = (float(row[name]) for name in ("learning_rate", "momentum", "beta2", "tau"))
    weights: list[float] = []
    after: dict[str, list[float]] = {part: [] for part in state}
    for i, (w, r) in enumerate(columns):
        d = r * 2.0 ** (row["exponent"] - 8)
        if row["name"] == "sgd":
            weights.append(w + d * rate)
        elif row["name"] == "nesterov":
            b = state["velocity"][i] * m + d
            weights.append(w + (d + b * m) * rate)
            after["velocity"].append(b)
        else:
            a, v = state["first"][i] * m + d * (1 - m), state["second"][i]
            adam, sign = row["name"] == "adam", (v > d * d) - (v < d * d)
            v = v * c + d * d * (1 - c) if adam else v - d * d * (1 - c) * sign
            weights.append(w + a * rate / (math.sqrt(v) + t))
            after["first"].append(a)
            after["second"].append(v)
    return _hex("f", weights), {part: _hex("d", values) for part, values in after.items()}


def _values(code: str, text: str) -> list[float]:
    return [value for (value,) in struct.iter_unpack(f"<{code}", bytes.fromhex(text))]


def _hex(code: str, values: list[float]) -> str:
    return struct.pack(f"<{len(values)}{code}", *values).hex()


def score(row: list[int], refined: list[int], n: int) -> int:
    """P14."""
    square = sum(x * x for x in row)
    projection = n * sum(x * r for x, r in zip(row, refined, strict=True)) - 256 * square
    return math.isqrt(projection**2 // square) if projection > 0 and square else 0


def split(pool: int, scores: Mapping[str, int]) -> dict[str, int]:
    """P14."""
    total = sum(scores.values())
    if not total:
        return dict.fromkeys(scores, 0)
    shares = {name: pool * each // total for name, each in scores.items()}
    for name in sorted(scores, key=lambda name: (-(pool * scores[name] % total), name))[: pool - sum(shares.values())]:
        shares[name] += 1
    return shares
