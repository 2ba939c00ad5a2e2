"""Coverage-guided fuzzing of every parser of the ledger: `make fuzz`.

    python -m tests.ledger.fuzz -runs=2000000

Needs atheris, which `python -m benchmarks.peers fuzz` puts beside the project. Stops at the first input that raises anything
but a LedgerError, or that is taken and written otherwise.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / ".peers" / "fuzz"))

import atheris

with atheris.instrument_imports(include=["ledger", "json"]):
    from ledger import errors
    from tests.ledger import parsers, test_fuzz

NAMES = list(parsers.PARSERS)


def one(data: bytes) -> None:
    """Nothing; the parser that the first byte chooses gets the rest."""
    if not data:
        return
    parse, _ = parsers.PARSERS[NAMES[data[0] % len(NAMES)]]
    try:
        written = parse(data[1:])
    except errors.LedgerError:
        return
    if written != data[1:]:
        raise AssertionError(f"a second form of {written!r}: {data[1:]!r}")


def main() -> None:
    """Nothing; runs as long as the options say."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, words = Path(folder, "corpus"), Path(folder, "words")
        corpus.mkdir()
        for number, name in enumerate(NAMES):
            for index, seed in enumerate(parsers.PARSERS[name][1]):
                (corpus / f"{number}-{index}").write_bytes(bytes([number]) + seed)
        tokens = ["".join(f"\\x{byte:02x}" for byte in token) for token in test_fuzz.TOKENS if len(token) < 64]
        words.write_text("".join(f'"{token}"\n' for token in tokens))
        atheris.Setup([sys.argv[0], *sys.argv[1:], f"-dict={words}", "-max_len=4096", str(corpus)], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
