"""Ways to spoil a published log, and which verifiers must notice each.

A mutation is a function of a `Case`, a copy of the evidence. G is the Go reference, S sigstore, D securesystemslib, O openssl,
P pymerkle. Each is said to notice what it looks at: G hashes, chain and notes; S sampled leaves and notes; D envelopes; O the
note's signature and sampled envelopes; P bundles against the root.
"""

import base64
import dataclasses
import json
import os
import shutil
import struct
from pathlib import Path

from benchmarks import federation
from ledger import keys, merkle

TARGET = 400
"""The entry that most mutations touch: an offer, in the second bundle, with a proof file."""

PLACE = TARGET % 256
BUNDLE = "tile/entries/001"
MUTATIONS = {}


@dataclasses.dataclass(frozen=True)
class Case:
    """A copy of the evidence: files are links to the original's, so they are replaced and never written to."""

    folder: Path
    key: keys.SigningKey

    def read(self, name):
        return (self.folder / name).read_bytes()

    def write(self, name, data):
        (self.folder / name).unlink(missing_ok=True)
        (self.folder / name).write_bytes(data)

    def flip(self, name, at, bit=1):
        data = bytearray(self.read(name))
        data[at] ^= bit
        self.write(name, bytes(data))

    def swap(self, one, other):
        first, second = self.read(one), self.read(other)
        self.write(one, second)
        self.write(other, first)

    def leaves(self, name=f"log/{BUNDLE}"):
        data, found = self.read(name), []
        while data:
            length = int.from_bytes(data[:2])
            found.append(data[2 : 2 + length])
            data = data[2 + length :]
        return found

    def bundle(self, leaves, name=f"log/{BUNDLE}"):
        self.write(name, b"".join(struct.pack(">H", len(each)) + each for each in leaves))

    def envelope(self, change, seq=TARGET):
        """Change the envelope in a leaf, and leave all else as it was."""
        name = f"log/tile/entries/{seq // 256:03d}"
        leaves = self.leaves(name)
        leaf = json.loads(leaves[seq % 256])
        change(leaf["dsse"])
        leaves[seq % 256] = json.dumps(leaf, separators=(",", ":")).encode()
        self.bundle(leaves, name)

    def text(self, change):
        """Change the text of the checkpoint under its signature."""
        text, _, signatures = self.read("log/checkpoint").decode().partition("\n\n")
        self.write("log/checkpoint", f"{change(text)}\n\n{signatures}".encode())

    def sign(self, name, change, key=None):
        """Change the text of a note, and sign it again."""
        text, _, line = self.read(name).decode().partition("\n\n")
        text = change(text) + "\n"
        signer, encoded = line.split(" ")[1:]
        signature = base64.b64decode(encoded)[:4] + (key or self.key).sign(text.encode())
        self.write(name, f"{text}\n\u2014 {signer} {base64.b64encode(signature).decode()}\n".encode())


def copied(source, folder, key):
    """A case of its own."""
    shutil.copytree(source, folder, copy_function=os.link)
    return Case(folder, key)


def seen_by(verifiers):
    """Enter a mutation, with the letters of those that must notice it."""

    def enter(mutate):
        MUTATIONS[mutate.__name__] = (mutate, verifiers)
        return mutate

    return enter


def _line(text, number, change):
    lines = text.split("\n")
    lines[number] = change(lines[number])
    return "\n".join(lines)


def _other_root(text):
    return _line(text, 2, lambda root: ("B" if root[0] == "A" else "A") + root[1:])


# The bundles.


@seen_by("GSDOP")
def bit_in_a_leaf(case):
    case.flip(f"log/{BUNDLE}", sum(len(each) + 2 for each in case.leaves()[:PLACE]) + 200)


@seen_by("GSDOP")
def length_of_an_entry(case):
    case.flip(f"log/{BUNDLE}", 1)


@seen_by("GSP")
def entries_swapped(case):
    leaves = case.leaves()
    leaves[PLACE - 1], leaves[PLACE] = leaves[PLACE], leaves[PLACE - 1]
    case.bundle(leaves)


@seen_by("GSP")
def leaf_moved(case):
    leaves = case.leaves()
    leaves.insert(100, leaves.pop(PLACE))
    case.bundle(leaves)


@seen_by("GSDOP")
def entry_dropped(case):
    leaves = case.leaves()
    del leaves[PLACE]
    case.bundle(leaves)


@seen_by("GSP")
def entry_repeated(case):
    leaves = case.leaves()
    leaves[PLACE] = leaves[PLACE - 1]
    case.bundle(leaves)


@seen_by("GSDOP")
def entry_added(case):
    leaves = case.leaves()
    case.bundle([*leaves, leaves[0]])


@seen_by("GSDOP")
def bundle_truncated(case):
    case.write(f"log/{BUNDLE}", case.read(f"log/{BUNDLE}")[:-1])


@seen_by("GSDOP")
def bundle_deleted(case):
    (case.folder / "log" / BUNDLE).unlink()


@seen_by("GSP")
def bundles_swapped(case):
    case.swap(f"log/{BUNDLE}", "log/tile/entries/002")


@seen_by("GSP")
def other_prev(case):
    leaves = case.leaves()
    leaves[PLACE] = leaves[PLACE].replace(b'"prev":"', b'"prev":"0')[: len(leaves[PLACE]) + 1]
    case.bundle(leaves)


@seen_by("GSP")
def other_seq(case):
    leaves = case.leaves()
    leaves[PLACE] = leaves[PLACE].replace(b'"seq":400', b'"seq":401')
    case.bundle(leaves)


# The envelopes.


@seen_by("GSDOP")
def payload_altered(case):
    def change(envelope):
        payload = base64.b64decode(envelope["payload"]).replace(b'"examples":143', b'"examples":999')
        envelope["payload"] = base64.b64encode(payload).decode()

    case.envelope(change)


@seen_by("GSDOP")
def author_altered(case):
    def change(envelope):
        payload = json.loads(base64.b64decode(envelope["payload"]))
        payload["predicate"]["author"] = "coordinator"
        envelope["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()

    case.envelope(change)


@seen_by("GSDOP")
def signature_altered(case):
    def change(envelope):
        signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
        signature[7] ^= 1
        envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()

    case.envelope(change)


@seen_by("GSDOP")
def signature_truncated(case):
    def change(envelope):
        signature = base64.b64decode(envelope["signatures"][0]["sig"])[:-1]
        envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()

    case.envelope(change)


@seen_by("GSDOP")
def signature_of_another_entry(case):
    other = json.loads(case.leaves()[PLACE + 1])["dsse"]["signatures"]
    case.envelope(lambda envelope: envelope.update(signatures=other))


@seen_by("GSDOP")
def signature_missing(case):
    def change(envelope):
        envelope["signatures"].clear()

    case.envelope(change)


@seen_by("GSDOP")
def signed_by_a_stranger(case):
    def change(envelope):
        kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
        pae = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        envelope["signatures"][0]["sig"] = base64.b64encode(keys.SigningKey.generate().sign(pae)).decode()

    case.envelope(change)


@seen_by("GSDOP")
def payload_type_altered(case):
    case.envelope(lambda envelope: envelope.update(payloadType="application/json"))


def _resigned(case, made):
    """The envelope under the author's own key, which signed what `made` makes of type and payload."""

    def change(envelope):
        payload = base64.b64decode(envelope["payload"])
        key = federation.key(json.loads(payload)["predicate"]["author"])
        signature = key.sign(made(envelope["payloadType"].encode(), payload))
        envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()

    case.envelope(change)


@seen_by("GSDOP")
def payload_signed_bare(case):
    _resigned(case, lambda _, payload: payload)


@seen_by("GSDOP")
def payload_signed_as_another_type(case):
    _resigned(case, lambda _, payload: b"DSSEv1 16 application/json %d %b" % (len(payload), payload))


@seen_by("GSDOP")
def payload_signed_under_another_version(case):
    _resigned(case, lambda kind, payload: b"DSSEv2 %d %b %d %b" % (len(kind), kind, len(payload), payload))


@seen_by("GSDOP")
def signature_malleated(case):
    """S + L in place of S, which a verifier without the range check of RFC 8032 would take."""

    def change(envelope):
        signature = base64.b64decode(envelope["signatures"][0]["sig"])
        scalar = int.from_bytes(signature[32:], "little") + 2**252 + 27742317777372353535851937790883648493
        envelope["signatures"][0]["sig"] = base64.b64encode(signature[:32] + scalar.to_bytes(32, "little")).decode()

    case.envelope(change)


@seen_by("GSDOP")
def space_after_the_payload(case):
    def change(envelope):
        envelope["payload"] = base64.b64encode(base64.b64decode(envelope["payload"]) + b" ").decode()

    case.envelope(change)


@seen_by("GSDOP")
def round_of_an_offer_altered(case):
    def change(envelope):
        payload = base64.b64decode(envelope["payload"]).replace(b'"round":', b'"round":1')
        envelope["payload"] = base64.b64encode(payload).decode()

    case.envelope(change)


@seen_by("GDP")
def key_of_a_member_exchanged(case):
    def change(envelope):
        payload = json.loads(base64.b64decode(envelope["payload"]))
        payload["predicate"]["key"] = str(keys.SigningKey.generate().public)
        envelope["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()

    case.envelope(change, seq=1)


# The tiles of hashes.


@seen_by("G")
def bit_in_tile_0(case):
    case.flip("log/tile/0/001", PLACE * 32)


@seen_by("G")
def bit_in_tile_1(case):
    case.flip("log/tile/1/000.p/40", 3)


@seen_by("G")
def bit_in_the_partial_tile(case):
    case.flip("log/tile/0/040.p/60", 3)


@seen_by("G")
def tile_truncated(case):
    case.write("log/tile/0/001", case.read("log/tile/0/001")[:-32])


@seen_by("G")
def tile_deleted(case):
    (case.folder / "log/tile/0/001").unlink()


@seen_by("G")
def tiles_swapped(case):
    case.swap("log/tile/0/001", "log/tile/0/002")


@seen_by("G")
def bundle_and_tile_agree(case):
    """The leaf's hash in the tile follows the altered leaf, and the tile above does not."""
    payload_altered(case)
    tile = bytearray(case.read("log/tile/0/001"))
    tile[PLACE * 32 : (PLACE + 1) * 32] = merkle.leaf_hash(case.leaves()[PLACE])
    case.write("log/tile/0/001", bytes(tile))


# The checkpoint.


@seen_by("GSOP")
def root_altered(case):
    case.text(_other_root)


@seen_by("GSOP")
def size_altered(case):
    case.text(lambda text: _line(text, 1, lambda size: str(int(size) - 1)))


@seen_by("GSO")
def origin_altered(case):
    case.text(lambda text: _line(text, 0, lambda origin: origin + "s"))


@seen_by("GSO")
def bit_in_the_signature(case):
    text, _, line = case.read("log/checkpoint").decode().partition("\n\n")
    signer, encoded = line.split(" ")[1:]
    signature = bytearray(base64.b64decode(encoded))
    signature[20] ^= 4
    case.write("log/checkpoint", f"{text}\n\n\u2014 {signer} {base64.b64encode(signature).decode()}\n".encode())


@seen_by("GSO")
def checkpoint_unsigned(case):
    case.write("log/checkpoint", case.read("log/checkpoint").partition(b"\n\n")[0] + b"\n\n")


@seen_by("GSO")
def checkpoint_signed_by_a_stranger(case):
    case.sign("log/checkpoint", lambda text: text, keys.SigningKey.generate())


@seen_by("GO")
def checkpoint_under_another_name(case):
    case.write("log/checkpoint", case.read("log/checkpoint").replace(b"\xe2\x80\x94 folk", b"\xe2\x80\x94 folks"))


@seen_by("GSOP")
def earlier_text_under_the_signature(case):
    earlier = case.read("earlier").decode().partition("\n\n")[0]
    case.text(lambda text: earlier)


@seen_by("GSO")
def unsigned_extension_line(case):
    case.text(lambda text: text + "\nextension")


@seen_by("GSO")
def line_ends_of_windows(case):
    case.write("log/checkpoint", case.read("log/checkpoint").replace(b"\n", b"\r\n"))


@seen_by("GS")
def last_line_not_ended(case):
    case.write("log/checkpoint", case.read("log/checkpoint")[:-1])


@seen_by("GSP")
def other_root_signed(case):
    """What the operator can do that no signature shows."""
    case.sign("log/checkpoint", _other_root)


@seen_by("G")
def leading_zero_signed(case):
    case.sign("log/checkpoint", lambda text: _line(text, 1, lambda size: f"0{size}"))


@seen_by("G")
def other_history_before(case):
    """The operator once signed another root for the earlier size: two views, under one key."""
    case.sign("earlier", _other_root)


@seen_by("G")
def rolled_back(case):
    """An older checkpoint is served than the one that was seen before."""
    case.swap("earlier", "log/checkpoint")


@seen_by("G")
def chain_broken_under_a_signed_root(case):
    """Tree, tiles and note agree, and the last leaf names another leaf as the one before it."""
    size = int(case.read("log/checkpoint").split(b"\n")[1])
    index, width = divmod(size, 256)
    last = f"{index:03d}.p/{width}"
    leaves = [each for number in range(index) for each in case.leaves(f"log/tile/entries/{number:03d}")]
    partial = case.leaves(f"log/tile/entries/{last}")
    partial[-1] = partial[-1].replace(b'"prev":"', b'"prev":"0')[: len(partial[-1]) + 1]
    case.bundle(partial, f"log/tile/entries/{last}")
    hashes = [merkle.leaf_hash(each) for each in [*leaves, *partial]]
    case.write(f"log/tile/0/{last}", b"".join(hashes[-width:]))
    root = base64.b64encode(merkle.root(size, merkle.over(hashes))).decode()
    case.sign("log/checkpoint", lambda text: _line(text, 2, lambda _: root))


# The proof files.

PROOF = f"proofs/{TARGET}.tlog-proof"


def _proof(case, change):
    lines = case.read(PROOF).decode().split("\n")
    change(lines)
    case.write(PROOF, "\n".join(lines).encode())


@seen_by("GS")
def hash_of_a_proof_altered(case):
    def change(lines):
        lines[3] = ("B" if lines[3][0] == "A" else "A") + lines[3][1:]

    _proof(case, change)


@seen_by("GS")
def hash_of_a_proof_dropped(case):
    _proof(case, lambda lines: lines.pop(4))


@seen_by("GS")
def hash_of_a_proof_added(case):
    _proof(case, lambda lines: lines.insert(4, lines[4]))


@seen_by("GS")
def hashes_of_a_proof_swapped(case):
    def change(lines):
        lines[3], lines[4] = lines[4], lines[3]

    _proof(case, change)


@seen_by("GS")
def proof_of_another_entry(case):
    _proof(case, lambda lines: lines.__setitem__(1, "index 401"))


@seen_by("GS")
def proof_files_swapped(case):
    case.swap(PROOF, "proofs/300.tlog-proof")


@seen_by("GS")
def checkpoint_of_a_proof_altered(case):
    _proof(case, lambda lines: lines.__setitem__(-4, lines[-4][1:] + "A"))
