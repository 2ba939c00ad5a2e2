"""Verify the checkpoint of a log, and the envelopes that it has proof files of, with the openssl command."""

import base64
import json
import subprocess
import tempfile
from pathlib import Path

import evidence

SPKI = bytes.fromhex("302a300506032b6570032100")


def check(raw, signature, signed):
    """Nothing; the command refuses what is not signed with this key."""
    with tempfile.TemporaryDirectory() as folder:
        key, sig, text = (Path(folder) / name for name in ("key", "sig", "text"))
        key.write_bytes(SPKI + raw)
        sig.write_bytes(signature)
        text.write_bytes(signed)
        command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", key]
        ran = subprocess.run([*command, "-sigfile", sig, "-in", text], capture_output=True, text=True, check=False)
    if ran.returncode or "Signature Verified Successfully" not in ran.stdout:
        raise evidence.RefusedError(ran.stdout.strip() or ran.stderr.strip())


def verify(folder):
    name, identity, raw = evidence.key(folder)
    text, lines, _, _ = evidence.checkpoint(folder)
    mine = [signature[4:] for signer, signature in lines if (signer, signature[:4]) == (name, identity)]
    if not mine or text.split(b"\n")[0] != name.encode():
        raise evidence.RefusedError(f"not signed by {name}")
    for signature in mine:
        check(raw, signature, text)
    envelopes = [json.loads(leaf)["dsse"] for leaf in evidence.leaves(folder)]
    predicates = [json.loads(base64.b64decode(each["payload"]))["predicate"] for each in envelopes]
    keys = {each["author"]: base64.b64decode(each["key"].split(" ")[1])[-32:] for each in predicates if "key" in each}
    sampled = sorted(int(file.stem) for file in (folder / "proofs").iterdir())[4::8]
    for index in sampled:
        kind, payload = envelopes[index]["payloadType"].encode(), base64.b64decode(envelopes[index]["payload"])
        pae = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        check(keys[predicates[index]["author"]], base64.b64decode(envelopes[index]["signatures"][0]["sig"]), pae)
    return {"notes": len(mine), "envelopes": len(sampled)}


if __name__ == "__main__":
    evidence.main(verify)
