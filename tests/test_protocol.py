"""docs/protocol.md says what the code does: its bytes, its fields, its codes, its numbers and its sections."""

import ast
import dataclasses
import importlib
import re
import sqlite3
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from aggregation import errors as aggregation_errors
from aggregation import lattice, rules
from client import agreement, plan
from client.tasks import catalogue
from exchange import age, blocks, header, sealing, tensors, unixfs
from exchange import errors as exchange_errors
from exchange import recipients as age_keys
from ledger import canonical, dsse, fields, history, leaf, merkle, note, statements
from ledger import errors as ledger_errors
from orchestrator import errors, folder, replay, settlement
from tests import protocol, stranger

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/protocol.md").read_text()
EXAMPLES = protocol.examples(TEXT)
BLOCKS = [name for name in EXAMPLES if name.startswith("block-")]
TYPES = [name.split(":")[2] for name in statements.TYPES]
PACKAGES = ("aggregation", "benchmarks", "client", "exchange", "ledger", "orchestrator")
CITATION = re.compile(r"docs/protocol\.md P(\d+)(?:-P(\d+))?")


def lines(name: str) -> list[str]:
    """An example's lines."""
    return EXAMPLES[name].split("\n")[:-1]


def sections() -> dict[int, str]:
    """The document's sections by number."""
    parts = re.split(r"^## P(\d+)\. ", TEXT, flags=re.MULTILINE)
    return {int(number): body for number, body in zip(parts[1::2], parts[2::2], strict=True)}


def table(text: str, first: str) -> list[list[str]]:
    """The rows of all tables in `text` whose first column is headed `first`, as cells without backticks."""
    found: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip().replace("`", "").replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells:
            inside = False
        elif cells[0] == first:
            inside = True
        elif inside and not set(cells[0]) <= {"-"}:
            found.append(cells)
    return found


def column(section: int, first: str) -> list[str]:
    """The first column of those tables of a section."""
    return [row[0] for row in table(sections()[section], first)]


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """All examples, made by the code."""
    return protocol.built(protocol.read_sealed(EXAMPLES))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_code_makes_each_example(made: Mapping[str, str], name: str) -> None:
    """The bytes in the document are those that the code makes of the same keys and values."""
    assert EXAMPLES[name] == made.get(name)


def test_no_example_is_left_out(made: Mapping[str, str]) -> None:
    """What the code makes stands in the document, each type of statement and each file of the run among it."""
    assert EXAMPLES.keys() == made.keys() >= {*TYPES, "log", "note-7", "note-15", *BLOCKS}


@pytest.mark.parametrize("name", TYPES)
def test_each_type_of_statement_is_read_back(name: str) -> None:
    """Each example payload parses as the type it is headed with, and is written as the same bytes."""
    payload = EXAMPLES[name].removesuffix("\n").encode()
    statement = statements.parse(payload)
    assert type(statement) is statements.TYPES[f"urn:folkmoot:{name}:v1"]
    assert statements.build(statement) == payload


def test_canonical_json_is_told_from_other_json() -> None:
    """The lines that the document calls canonical are read; those it says are refused are refused."""
    for line in lines("canonical"):
        assert canonical.encode(canonical.decode(line.encode())) == line.encode()
    for line in lines("canonical-refused"):
        with pytest.raises(ledger_errors.StatementError):
            canonical.decode(canonical.decode(_compact(line))["text"].encode())


def test_a_second_implementation_recomputes_the_run() -> None:
    """An auditor that imports nothing of ours reaches the same commit and credits from the document's bytes."""
    shares = stranger.audit([line.encode() for line in lines("log")], _notes(), _files())
    postings = dict(statements.parse(lines("credit.transfer")[0].encode()).postings)
    assert shares == postings
    assert sum(shares.values()) == protocol.PLAN.credit.pool


@pytest.mark.parametrize("name", BLOCKS)
def test_the_second_implementation_notices_a_changed_file(name: str) -> None:
    """A stranger's audit is one: no file of the run can have another byte."""
    files = _files()
    link, data = protocol.read_block(EXAMPLES[name])
    files[link] = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(AssertionError):
        stranger.audit([line.encode() for line in lines("log")], _notes(), files)


def test_our_audit_recomputes_the_run(tmp_path: Path) -> None:
    """The document's leaves, notes and files are a run folder that `folkmoot audit` finds no difference in."""
    report = replay.Replay(_folder(tmp_path), lambda _number, _total: None).audit()
    assert (report.rounds, report.recomputed, report.on_word) == (1, 1, 0)
    assert report.checked["entries"] == len(lines("log"))
    assert report.checked["roots"] == 2


@pytest.mark.parametrize("seq", range(len(lines("log"))))
def test_our_audit_notices_a_changed_leaf(tmp_path: Path, seq: int) -> None:
    """No leaf of the run can have another byte, even where its row agrees with it."""
    leaves = lines("log")
    leaves[seq] = re.sub('(?<="sig":")(.)', lambda first: "B" if first[0] == "A" else "A", leaves[seq])
    with pytest.raises((errors.AuditError, ledger_errors.LedgerError)):
        replay.Replay(_folder(tmp_path, leaves), lambda _number, _total: None).audit()


@pytest.mark.parametrize("name", BLOCKS)
def test_our_audit_notices_a_missing_file(tmp_path: Path, name: str) -> None:
    """Each file of the run is needed to recompute it."""
    where = _folder(tmp_path)
    (link,) = where.root.glob(f"blocks/*/{protocol.read_block(EXAMPLES[name])[0]}")
    link.unlink()
    with pytest.raises(errors.AuditError):
        replay.Replay(where, lambda _number, _total: None).audit()


@pytest.mark.parametrize("name", TYPES)
def test_each_predicate_has_its_fields(name: str) -> None:
    """The table of each type names exactly the predicate's fields, each with the kind the code reads it as."""
    predicate = statements.TYPES[f"urn:folkmoot:{name}:v1"]
    part = sections()[3].split(f"### `urn:folkmoot:{name}:v1`")[1].split("###")[0]
    said = {row[0]: row[1] for row in table(part, "field")}
    assert said == {field.name: protocol.kind_of(predicate, field.name) for field in dataclasses.fields(predicate)}


def test_each_kind_of_field_has_its_range() -> None:
    """Every kind is in the table, and where its range is a pattern, it is the code's."""
    said = {row[0]: row[2] for row in table(sections()[3], "kind")}
    readers = {name: each.__metadata__[0] for name, each in vars(fields).items() if hasattr(each, "__metadata__")}
    assert said.keys() == readers.keys()
    for name in ("Name", "Role", "Hex64", "Cid"):
        (pattern,) = (c.cell_contents for c in readers[name].__closure__ if isinstance(c.cell_contents, re.Pattern))
        assert said[name] == pattern.pattern


def test_the_plan_has_its_fields_and_ranges() -> None:
    """The table of the plan is the plan: names, types, ranges."""
    said = {row[0]: (row[1], row[2]) for row in table(sections()[7], "field")}
    texts = {name: row for name, row in said.items() if row[0] == "text"}
    assert texts.keys() == {"disclosure", "task.name", "rule.name", "rule.pre"}
    assert texts["disclosure"][1] == " or ".join(plan.DISCLOSURES)
    assert texts["task.name"][1] == ", ".join(catalogue.TASKS)
    assert said == texts | dict(_ranges(plan.Plan))


def test_every_reason_code_is_explained() -> None:
    """The tables of P12 name each code that an error of exchange or aggregation carries, and no other."""
    codes = {kind.code for module in (exchange_errors, aggregation_errors) for kind in _coded(module)}
    on_ledger = {kind.code for refusal in settlement.REFUSALS for kind in _below(refusal)} - {"seal-key"}
    assert set(column(12, "code on the ledger")) == on_ledger | {"no-offer"}
    assert set(column(12, "code never on the ledger")) == codes - on_ledger


def test_claims_of_an_audit_are_named() -> None:
    """The reasons that an audit takes on the coordinator's word stand in P15, and as claims in P12."""
    causes = {row[0]: row[1] for row in table(sections()[12], "code on the ledger")}
    assert {code for code, cause in causes.items() if cause.endswith("a claim")} == set(settlement.UNAVAILABLE)
    assert ", ".join(settlement.UNAVAILABLE) in column(15, "always a claim")


def test_every_refusal_of_the_history_is_explained() -> None:
    """P6 names each reason that the history refuses for, and each code of a statement that is none."""
    reasons = set(_hyphenated("history", "membership", "rounds"))
    assert set(column(6, "reason")) | {"wrong-run"} == reasons
    assert {f"`{reason}`" for reason in reasons} <= set(re.findall(r"`[a-z-]+`", sections()[6]))
    codes = {"malformed"}
    for path in (ROOT / "ledger").glob("*.py"):
        codes.update(re.findall(r'code="([a-z-]+)"', path.read_text()))
    assert set(column(6, "code")) == codes


def test_the_rules_and_what_they_need() -> None:
    """P12 names every rule and pre-aggregation, and the least number of updates of each."""
    rows = {row[0]: row[2] for row in table(sections()[12], "rule")}
    assert rows.keys() == rules.RULES.keys()
    for name, least in rows.items():
        needs = rules.RULES[name].needs
        if name == "mean":
            assert (needs(0), needs(1), least) == (1, None, "1, and f must be 0")
        else:
            assert least == f"2f + {needs(0)}"
            assert needs(5) == 10 + needs(0)
    assert rules.PRE_AGGREGATIONS.keys() == {"none", "nnm"}
    assert all(rules.PRE_AGGREGATIONS["nnm"].needs(f) == 2 * f + 1 for f in range(5))
    assert "With `nnm` the least n is at least 2f + 1 too" in sections()[12]


LIMITS = [
    (1, canonical.MAX_BYTES),
    (1, canonical.MAX_DEPTH),
    (1, dsse.MAX_BYTES),
    (1, leaf.MAX_BYTES),
    (2, dsse.MAX_BYTES),
    (2, dsse.MAX_PAYLOAD),
    (4, leaf.MAX_BYTES),
    (5, note.MAX_BYTES),
    (5, note.MAX_SIGNATURES),
    (9, lattice.BOUND),
    (10, tensors.MAX_HEADER),
    (10, tensors.MAX_METADATA),
    (10, tensors.MAX_NAME),
    (10, tensors.MAX_VALUE),
    (10, header.MAX_HEADER),
    (10, header.MAX_STANZAS),
    (11, unixfs.CHUNK),
    (11, unixfs.WIDTH),
    (11, unixfs.MAX_NODE),
]


@pytest.mark.parametrize(("section", "limit"), LIMITS)
def test_limits_are_the_codes(section: int, limit: int) -> None:
    """Each limit stands in its section as the code has it."""
    assert re.search(rf"(?<![\d,]){limit:,}(?![\d,])", sections()[section])


def test_other_numbers_and_words_are_the_codes() -> None:
    """Exponents, formats, refused stanzas, and the two limits that follow from the model's size."""
    assert f"{lattice.MIN_EXPONENT} .. {lattice.MAX_EXPONENT}" in sections()[9]
    assert lattice.FRACTION_BITS == 8
    assert all(f"`{kind}`" in sections()[10] for kind in age.CLASSICAL_TYPES)
    assert f"`{' '.join(sealing.CONTEXT_ARGS)}`" in sections()[10]
    assert f"`{age_keys.X25519_INFO.decode()}`" in sections()[10]
    agreed = agreement.Agreement.read(leaf.Entry.parse(lines("log")[0].encode(), seq=0, prev=leaf.NO_HEAD).envelope)
    dim = sum(spec.size for spec in agreed.specs)
    assert settlement.update_limit(agreed) == 2 * dim + dim // 2048 + 131072
    assert "2 * dim + floor(dim / 2,048) + 131,072" in sections()[10]
    assert settlement.file_limit(agreed) == 4 * dim + 1048576
    assert "4 * dim + 1,048,576" in sections()[11]
    assert [row[0] for row in table(sections()[7], "tensor")] == [spec.name for spec in agreed.specs]


def test_the_phases_are_the_codes() -> None:
    """P6 names the phases, and the order of a round, as the fold has them."""
    rows = table(sections()[6], "statement")
    assert {row[1] for row in rows} == {phase.value for phase in history.Phase} - {"empty"}
    known = history.EMPTY
    expected = {row[0]: (row[1], row[2]) for row in rows}
    for seq, line in enumerate(lines("log")):
        entry = leaf.Entry.parse(line.encode(), seq=seq, prev=known_head(seq))
        before, known = known, history.apply(known, seq, entry.envelope)
        name = protocol._type(entry)
        if name in expected:
            was, becomes = expected[name]
            assert before.phase == was
            assert becomes.startswith(known.phase)


def known_head(seq: int) -> str:
    """Hex hash of the leaf before a position of the example log."""
    return merkle.leaf_hash(lines("log")[seq - 1].encode()).hex() if seq else leaf.NO_HEAD


def test_sections_are_numbered_and_listed() -> None:
    """P1 to the last without a gap, each in the list at the top."""
    numbers = list(sections())
    assert numbers == list(range(1, len(numbers) + 1))
    listed = re.findall(r"\| P(\d+) \|", TEXT.split("\n## P1.")[0])
    assert sorted(map(int, listed)) == numbers
    assert {int(number) for number in re.findall(r"\bP(\d+)\b", TEXT)} <= set(numbers)


def _citations() -> Iterator[tuple[Path, int]]:
    """Every section that a file of the project cites."""
    places = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.py")]
    places += [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    for path in places:
        for first, last in CITATION.findall(path.read_text()):
            yield from ((path.relative_to(ROOT), number) for number in range(int(first), int(last or first) + 1))


def test_every_citation_leads_to_a_section() -> None:
    """Each `docs/protocol.md P<n>` exists, and where a module cites it, the section names that module as its code."""
    found = set(_citations())
    assert len(found) >= 30
    for path, number in sorted(found):
        assert number in sections(), f"{path} cites P{number}"
        if path.parts[0] in PACKAGES:
            module = ".".join(path.with_suffix("").parts)
            assert module in _code(number), f"{path} cites P{number}, whose code is {_code(number)}"


@pytest.mark.parametrize("number", range(1, 17))
def test_every_section_names_its_code(number: int) -> None:
    """Each module that a section names is there, and the first of them cites the section."""
    modules = _code(number)
    assert modules
    for module in modules:
        importlib.import_module(module)
    assert number in {
        cited for path, cited in _citations() if path.with_suffix("").parts == tuple(modules[0].split("."))
    }


def _code(number: int) -> list[str]:
    """The modules that a section names as its code."""
    stated = re.search(r"\n\nCode: ((?:`[\w.]+`[,\s]*)+)\n", sections()[number])
    return re.findall(r"`([\w.]+)`", stated.group(1)) if stated else []


def _compact(line: str) -> bytes:
    """A line of an example as canonical JSON."""
    return canonical.encode(protocol.json.loads(line))


def _notes() -> list[str]:
    return [EXAMPLES["note-7"], EXAMPLES["note-15"]]


def _files() -> dict[str, bytes]:
    return dict(protocol.read_block(EXAMPLES[name]) for name in BLOCKS)


def _folder(root: Path, leaves: list[str] | None = None) -> folder.RunFolder:
    """A run folder made of the document's bytes; of our code only the block store and the schema of the document."""
    store = blocks.BlockStore(root)
    for link, data in _files().items():
        assert str(store.put(data)) == link
    (root / "checkpoint").write_text(EXAMPLES["note-15"])
    connection = sqlite3.connect(root / "ledger.sqlite")
    connection.executescript(EXAMPLES["schema"])
    for seq, line in enumerate(leaves or lines("log")):
        data = line.encode()
        eid = protocol.json.loads(lines("hashes")[seq])["eid"]
        row = (seq, merkle.leaf_hash(data), bytes.fromhex(eid), data)
        connection.execute("INSERT INTO entry VALUES (?, ?, ?, ?)", row)
    for size in (7, 15):
        connection.execute("INSERT INTO checkpoint VALUES (?, ?)", (size, EXAMPLES[f"note-{size}"].encode()))
    connection.commit()
    connection.close()
    return folder.RunFolder(root=root)


def _ranges(section: type[plan.Section]) -> Iterator[tuple[str, tuple[str, str]]]:
    hints = typing.get_type_hints(section)
    for field in dataclasses.fields(section):
        kind = hints[field.name]
        if issubclass(kind, plan.Section):
            yield from _ranges(kind)
        elif kind is not str:
            low, high = (kind(field.metadata[end]) for end in ("low", "high"))
            name = {int: "integer", float: "real"}[kind]
            yield section.WHERE + field.name, (name, f"{low!r} .. {high!r}")


def _coded(module: ModuleType) -> Iterator[typing.Any]:
    return (each for each in vars(module).values() if isinstance(each, type) and hasattr(each, "code"))


def _below(kind: typing.Any) -> Iterable[typing.Any]:
    return [kind, *(each for child in kind.__subclasses__() for each in _below(child))]


def _hyphenated(*modules: str) -> Iterator[str]:
    """String constants such as `wrong-round` in modules of the ledger."""
    for module in modules:
        for node in ast.walk(ast.parse((ROOT / "ledger" / f"{module}.py").read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from re.findall(r"^(?:[a-z]+-)*(?:equivocation|[a-z]+-[a-z]+)$", node.value)
