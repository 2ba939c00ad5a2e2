"""The adversarial list, where it costs memory and time, and a count of which number which test names.

Each hostile input goes to a process of its own, whose peak of memory and whose seconds are what it is judged by.
"""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
NUMBERS = r"\d+(?:-\d+)?(?:, \d+(?:-\d+)?)*"
ENVELOPE, PAYLOAD, NETWORK = range(1, 14), range(24, 29), range(30, 37)

# What opens an update: unsealed, then decoded. Prints the refusal, MiB beyond what was held before, and seconds.
VICTIM = """
import json, sys, time
from pathlib import Path
from exchange import errors, recipients, sealing, tensors
def peak():  # not getrusage, which counts the process that started this one
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024
file = Path(sys.argv[1]).read_bytes()
identity = recipients.parse_identity(sys.argv[2])
specs = [tensors.TensorSpec(name="w", shape=(1000,))]
tensors.decode(tensors.encode(specs, dtype="I16", data=bytes(2000), metadata={}), specs, dtype="I16", metadata={})
before, start = peak(), time.perf_counter()
try:
    opened = sealing.unseal(file, identities=[identity], context=bytes(32))
    tensors.decode(opened, specs, dtype="I16", metadata={})
    code = "accepted"
except errors.ExchangeError as error:
    code = error.code
seconds = time.perf_counter() - start
print(json.dumps([code, peak() - before, seconds]))
"""

# What an attacker seals. Each gives the bytes of a plaintext, or of a file if it begins as one.
HOSTILE = """
import io, json, pickle, sys, zipfile
from pathlib import Path
from exchange import header, recipients, sealing
def safetensors(entries, data=b""):
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data
def bomb(name, size):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file, file.open(name, "w") as entry:
        for _ in range(size >> 20):
            entry.write(bytes(1 << 20))
    return archive.getvalue()
entry = {"dtype": "I16", "shape": [1000], "data_offsets": [0, 2000]}
empty = {"dtype": "I16", "shape": [], "data_offsets": [0, 0]}
identity = recipients.X25519Identity.generate()
stanza = b"-> X25519 " + b"A" * 43 + b"\\n" + b"A" * 43 + b"\\n"
make = {
    "right": lambda: safetensors({"w": entry}, bytes(2000)),
    "stanza flood": lambda: header.VERSION + stanza * 500_000,
    "one line": lambda: header.VERSION + b"-> " + b"x" * (50 << 20),
    "long body": lambda: header.VERSION + b"-> X\\n" + (b"A" * 64 + b"\\n") * 800_000,
    "many arguments": lambda: header.VERSION + b"-> " + b"x " * (25 << 20),
    "pt bomb": lambda: bomb("archive/data.pkl", 1 << 28),
    "npz bomb": lambda: bomb("w.npy", 1 << 28),
    "pickle": lambda: pickle.dumps({"w": [0] * 1000}),
    "shape": lambda: safetensors({"w": entry | {"shape": [0, 1 << 60]}}, bytes(2000)),
    "huge header": lambda: (50 << 20).to_bytes(8, "little") + b" " * (50 << 20),
    "length that lies": lambda: ((1 << 63) - 1).to_bytes(8, "little") + bytes(100),
    "200k tensors": lambda: safetensors({f"{number:x}": empty for number in range(200_000)}),
    "15k tensors": lambda: safetensors({f"{number:x}": empty for number in range(15_000)}),
    "megabyte key": lambda: safetensors({"x" * ((1 << 20) - 100): entry}, bytes(2000)),
    "deep": lambda: (1 << 20).to_bytes(8, "little") + b"[" * (1 << 20),
    "long number": lambda: (1 << 20).to_bytes(8, "little") + b"9" * (1 << 20),
}[sys.argv[1]]()
if not make.startswith(header.VERSION):
    make = sealing.seal(make, recipients=[identity.recipient], context=bytes(32))
Path(sys.argv[2]).write_bytes(make)
print(identity)
"""

EXPECTED = {
    "right": (0, "accepted"),
    "stanza flood": (7, "seal-garbage"),
    "one line": (7, "seal-garbage"),
    "long body": (7, "seal-garbage"),
    "many arguments": (7, "seal-garbage"),
    "pickle": (24, "tensors-garbage"),
    "pt bomb": (25, "tensors-garbage"),
    "npz bomb": (25, "tensors-garbage"),
    "shape": (26, "tensors-shape"),
    "huge header": (26, "tensors-garbage"),
    "length that lies": (26, "tensors-garbage"),
    "200k tensors": (26, "tensors-garbage"),
    "15k tensors": (26, "tensors-names"),
    "megabyte key": (26, "tensors-names"),
    "deep": (26, "tensors-garbage"),
    "long number": (26, "tensors-garbage"),
}


def python(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=TESTS.parent).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the peak of memory")
@pytest.mark.parametrize("name", EXPECTED)
def test_hostile_bytes_take_little_memory_and_time(tmp_path: Path, name: str) -> None:
    """7, 24, 25, 26: refused for the reason given, within 2 seconds and 16 MiB, beside the bytes of a payload once opened."""
    path = tmp_path / "update"
    identity = python(HOSTILE, name, str(path)).strip()
    number, reason = EXPECTED[name]
    payload = 0 if number == 7 else path.stat().st_size / 2**20
    code, extra, seconds = json.loads(python(VICTIM, str(path), identity))
    assert code == reason
    assert extra < payload + 16
    assert seconds < 2


def named() -> dict[int, set[str]]:
    """The tests that name each number, "7, 8: ..." or "... (attacks 7, 8)" in the docstring."""
    found: dict[int, set[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                text = ast.get_docstring(node) or ""
                begins, ends = re.match(rf"({NUMBERS}):", text), re.search(rf"\(attacks? ({NUMBERS})\)", text)
                for part in [part for match in (begins, ends) if match for part in match[1].split(", ")]:
                    first, _, last = part.partition("-")
                    for number in range(int(first), int(last or first) + 1):
                        found.setdefault(number, set()).add(f"{path.relative_to(TESTS)}::{node.name}")
    return found


def test_every_attack_on_the_exchange_has_a_test() -> None:
    """Numbers 1 to 13, 24 to 28 and 30 to 36 are each named by a test."""
    tests = named()
    assert [number for number in (*ENVELOPE, *PAYLOAD, *NETWORK) if not tests.get(number)] == []


def test_the_threat_model_names_tests_that_exist() -> None:
    """Every file and test in the table of the threat model is there."""
    text = (TESTS.parent / "docs" / "threat-model.md").read_text()
    table = text[text.index("## The adversarial list") :]
    files = {(path, name) for path, name in re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", table)}
    assert len(files) > 50
    for path, name in files:
        source = (TESTS / path).read_text()
        assert not name or f"def {name}(" in source, f"{path}::{name}"
