"""docs/protocol.md says what the code does: its bytes, its fields, its codes, its numbers and its sections."""

import ast
import base64
import dataclasses
import hashlib
import importlib
import math
import random
import re
import sqlite3
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric import ed25519

from aggregation import (
    clipping,
    divide_and_conquer,
    geometric_median,
    geometry,
    gram,
    lattice,
    memory,
    preaggregation,
    recipe,
    rules,
    spectral,
    standing,
    subsets,
    weights,
)
from aggregation import errors as aggregation_errors
from client import agreement, plan, section, taskkinds, taskplan
from client.tasks import catalogue
from exchange import age, blocks, car, cid, crate, gateway, header, sealing, tensors, unixfs
from exchange import errors as exchange_errors
from exchange import recipients as age_keys
from ledger import (
    account_statement,
    bookkeeping,
    canonical,
    checkpoint,
    distribution,
    dsse,
    fields,
    history,
    leaf,
    merkle,
    note,
    payout,
    policy,
    proof,
    statements,
    tiles,
    transfers,
    vkey,
)
from ledger import errors as ledger_errors
from orchestrator import (
    aggregate,
    blockservice,
    bundle,
    errors,
    fold,
    folder,
    matrix,
    optimizer,
    replay,
    service,
    settlement,
    subject,
)
from orchestrator.serving import answer, growth, limits
from tests import bundles, protocol, stranger, stranger_bundle, stranger_reals, stranger_rules

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
    postings = statements.parse(lines("credit.transfer")[0].encode()).postings
    assert shares == transfers.changes(postings)
    assert sum(shares.values()) == protocol.PLAN.credit.pool


@pytest.mark.parametrize("line", lines("outer"))
def test_a_second_implementation_takes_each_outer_step(line: str) -> None:
    """The formulas of P13, in Python's floats, give the weights and the state of the document."""
    row = protocol.json.loads(line)
    assert stranger.moved(row) == (row["after"], row["state_after"])


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


def test_the_bundle_of_the_run_is_the_document_s(tmp_path: Path) -> None:
    """Exported by an audit of the document's bytes: header and sections as P28 shows them, and nothing else."""
    path = tmp_path / "run.car"
    (tmp_path / "run").mkdir()
    where = _folder(tmp_path / "run")
    what = subject.Exported(place=where, path=path, replace=False, told=lambda _: None)
    replay.Replay(what, lambda _number, _total: None).audit()
    first, *shown, last = map(protocol.json.loads, lines("bundle"))
    files = _files()
    files[shown[[each["holds"] for each in shown].index("the index")]["cid"]] = lines("bundle-index")[0].encode()
    made = bytes.fromhex(first["header"])
    tiled = bundles.blocks(path.read_bytes())
    for each in shown:
        assert len(made) == each["at"]
        name = cid.Cid.parse(each["cid"])
        made += bytes.fromhex(each["length"]) + bytes(name) + files.get(each["cid"], tiled[name])
    assert made == path.read_bytes()
    assert (len(made), hashlib.sha256(made).hexdigest()) == (last["bytes"], last["sha256"])
    assert {each["holds"] for each in shown} >= {name.removeprefix("block-") for name in BLOCKS}
    assert bundles.audit(path).recomputed == 1


def test_a_second_implementation_audits_the_bundle(tmp_path: Path) -> None:
    """From the one file, and P28, to the credits; with any byte altered it stops before them."""
    path = tmp_path / "run.car"
    (tmp_path / "run").mkdir()
    what = subject.Exported(place=_folder(tmp_path / "run"), path=path, replace=False, told=lambda _: None)
    replay.Replay(what, lambda _number, _total: None).audit()
    data, draw = path.read_bytes(), random.Random(28)
    leaves, notes, files = stranger_bundle.unpack(data)
    assert files == _files()
    assert sum(stranger.audit(leaves, notes, files).values()) == protocol.PLAN.credit.pool
    for at in draw.sample(range(len(data)), 200):
        with pytest.raises((AssertionError, IndexError, KeyError)):
            stranger_bundle.unpack(data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :])


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
    (link,) = where.root.glob(f"blocks/??/{protocol.read_block(EXAMPLES[name])[0]}")
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


def test_what_may_follow_the_run_is_accepted() -> None:
    """The examples of types that the example run lacks are statements that its history takes, under the right keys."""
    made = protocol.Run(protocol.read_sealed(EXAMPLES))
    known, signers = made.known, made.keys | {"watcher": protocol.signing_key(6), "referee": protocol.signing_key(7)}
    payloads = [statements.build(statement) for statement in made.following()]
    words = ("round.cosign", "round.dispute", "round.recipient", "round.decline")
    for name in ("member.rotate", "member.revoke", "reversal", *words):
        assert EXAMPLES[name].rstrip().encode() in payloads
    for statement, payload in zip(made.following(), payloads, strict=True):
        known = history.apply(known, known.size, dsse.sign(payload, signers[statement.author]))
    assert known.members["holder-00"].key == protocol.signing_key(5).public
    assert known.members["holder-02"].revoked_at == 16
    assert known.finished is not None
    assert (known.finished.cosigned, known.finished.disputed) == ({"watcher"}, {"referee": "aggregate"})
    assert set(known.balances.values()) == {0}
    assert known.current is not None
    assert known.current.readers == {"watcher": known.current.open.recipients[1]}
    assert known.current.declined == {"holder-01": "policy-rounds-per-day"}


def test_what_a_public_run_never_says_is_refused_by_it() -> None:
    """The example of a destruction is well-formed, and no statement of the example run, whose round is disclosed."""
    made = protocol.Run(protocol.read_sealed(EXAMPLES))
    payload = EXAMPLES["round.destroy"].rstrip().encode()
    assert statements.parse(payload) == made.destruction()
    with pytest.raises(ledger_errors.HistoryError, match="nobody discloses"):
        history.apply(made.known, made.known.size, dsse.sign(payload, made.keys["coordinator"]))


def test_each_kind_of_field_has_its_range() -> None:
    """Every kind is in the table, and where its range is a pattern, it is the code's."""
    said = {row[0]: row[2] for row in table(sections()[3], "kind")}
    readers = {name: each.__metadata__[0] for name, each in vars(fields).items() if hasattr(each, "__metadata__")}
    assert said.keys() == readers.keys()
    for name in ("Name", "Role", "Hex64", "Cid", "Reason", "TransferId", "TransferCode", "Reverses"):
        (pattern,) = (c.cell_contents for c in readers[name].__closure__ if isinstance(c.cell_contents, re.Pattern))
        assert said[name] == pattern.pattern


def test_the_plan_has_its_fields_and_ranges() -> None:
    """The table of the plan is the plan: names, types, ranges."""
    said = {row[0]: (row[1], row[2]) for row in table(sections()[7], "field")}
    texts = {name: row for name, row in said.items() if row[0] == "text"}
    named = {"disclosure", "task.name", "task.precision", "rule.name", "rule.pre", "outer.name", "cohort.members"}
    assert texts.keys() == named | {"credit.method", "credit.schedule"}
    assert texts["credit.method"][1] == ", ".join(plan.METHODS)
    assert texts["credit.schedule"][1] == " or ".join(payout.SCHEDULES)
    assert said.pop("credit.screened") == ("boolean", "true or false")
    assert texts["disclosure"][1] == " or ".join(plan.DISCLOSURES)
    assert texts["cohort.members"][1] == " or ".join(plan.MEMBERS)
    assert texts["task.name"][1] == ", ".join(catalogue.TASKS)
    assert texts["outer.name"][1] == ", ".join(plan.OPTIMIZERS)
    assert said == texts | dict(_ranges(plan.Plan))


def test_each_task_has_its_fields_and_ranges() -> None:
    """The table of the tasks' own fields is the code's, and each task is there."""
    said = {(row[0], row[1]): (row[2], row[3]) for row in table(sections()[7], "task")}
    common = {field.name for field in dataclasses.fields(taskplan.TaskPlan)}
    found = {}
    for name, kind in taskkinds.KINDS.items():
        numbers = dict(_ranges(kind))
        for field in dataclasses.fields(kind):
            if field.name not in common:
                key = f"task.{field.name}"
                found[name, key] = numbers.get(key, ("text", said.get((name, key), ("", ""))[1]))
    assert said == found
    assert all(row[1] for row in said.values())


def test_the_optimizers_and_what_they_read() -> None:
    """P13 names every outer optimizer, the fields of the plan that it reads, and the tensors of its state."""
    rows = {row[0]: row[1:] for row in table(sections()[13], "optimizer")}
    assert {name: tuple(filter(None, row[0].split(", "))) for name, row in rows.items()} == plan.OPTIMIZERS
    for name, (_, state) in rows.items():
        remembered = optimizer.initial(dataclasses.replace(protocol.OUTER[-1], **_read_by(name)), 1)
        parts = [field.name for field in dataclasses.fields(remembered)] if remembered is not None else ["none"]
        assert [each.split(" ")[0] for each in state.split("; ")] == parts


def _read_by(name: str) -> dict[str, typing.Any]:
    return {"name": name} | {field: plan.UNUSED[field] for field in plan.UNUSED if field not in plan.OPTIMIZERS[name]}


def test_every_reason_code_is_explained() -> None:
    """The tables of P12 name each code that an error of exchange or aggregation carries, and no other."""
    codes = {kind.code for module in (exchange_errors, aggregation_errors) for kind in _coded(module)}
    on_ledger = {kind.code for refusal in matrix.REFUSALS for kind in _below(refusal)} - {"seal-key"}
    assert set(column(12, "code on the ledger")) == on_ledger | {"no-offer", "declined"}
    assert set(column(12, "code never on the ledger")) == codes - on_ledger


def test_claims_of_an_audit_are_named() -> None:
    """The reasons that an audit takes on the coordinator's word stand in P15, and as claims in P12."""
    causes = {row[0]: row[1] for row in table(sections()[12], "code on the ledger")}
    assert {code for code, cause in causes.items() if cause.endswith("a claim")} == set(settlement.UNAVAILABLE)
    assert ", ".join(settlement.UNAVAILABLE) in column(15, "always a claim")


def test_every_refusal_of_the_history_is_explained() -> None:
    """P6 names each reason that the history refuses for, and each code of a statement that is none."""
    reasons = set(_hyphenated("cosigning", "destruction", "history", "membership", "rounds", "scoring", "transfers"))
    assert set(column(6, "reason")) | {"wrong-run"} == reasons
    assert {f"`{reason}`" for reason in reasons} <= set(re.findall(r"`[a-z-]+`", sections()[6]))
    codes = {"malformed"}
    for path in (ROOT / "ledger").glob("*.py"):
        codes.update(re.findall(r'(?<!CreditTransfer\()code="([a-z-]+)"', path.read_text()))
    assert set(column(6, "code")) == codes


LEAST = re.compile(r"(?:(\d)f \+ )?(\d)(, and f must be 0)?")


def _least(said: str, f: int) -> int | None:
    """What a cell such as `2f + 3` comes to."""
    found = LEAST.fullmatch(said)
    assert found
    return None if f and found[3] else int(found[1] or 0) * f + int(found[2])


LEAST = re.compile(r"(?:(\d)f \+ )?(\d)(, and f must be 0)?")


def _least(said: str, f: int) -> int | None:
    """What a cell such as `2f + 3` comes to."""
    found = LEAST.fullmatch(said)
    assert found
    return None if f and found[3] else int(found[1] or 0) * f + int(found[2])


def test_the_rules_and_what_they_need() -> None:
    """P12 names every rule and every step before it, the least number of rows of each, and which take a number."""
    steps = table(sections()[12], "step")
    least = {row[0]: row[2] for row in table(sections()[12], "rule")}
    assert least.keys() == rules.RULES.keys()
    assert [row[0] for row in steps] == [*preaggregation.PRE_AGGREGATIONS]
    least |= {row[0]: row[3] for row in steps}
    for name, kind in (rules.RULES | preaggregation.PRE_AGGREGATIONS).items():
        assert [_least(least[name], f) for f in range(6)] == [kind.needs(f) for f in range(6)]
    numbers = {None: "none", 0: "required", 2: "optional; else 2"}
    assert [row[1] for row in steps] == [numbers[each.default] for each in preaggregation.PRE_AGGREGATIONS.values()]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("none", True),
        ("bucketing:3+arc", True),
        ("arc+nnm+clip:999999999", True),
        ("arc+nnm+arc", False),
        ("none+arc", False),
        ("clip", False),
        ("nnm:2", False),
        ("bucketing:0", False),
        ("bucketing:02", False),
        ("clip:1000000000", False),
        ("arc +nnm", False),
        ("", False),
    ],
)
def test_how_steps_are_written(text: str, right: bool) -> None:
    """The grammar of `rule.pre` in P12 is the code's: the pattern stands there, and these are read or refused."""
    assert "`[1-9][0-9]{0,8}`" in sections()[12]
    if right:
        assert preaggregation.parse(text) or text == preaggregation.NONE
    else:
        with pytest.raises(aggregation_errors.RuleError):
            preaggregation.parse(text)


def test_a_second_implementation_makes_the_aggregates() -> None:
    """Rules, draws and start rows, written from P12 alone, give the document's numbers, one line for every rule."""
    given, *rows = map(protocol.json.loads, lines("rules"))
    assert {row["rule"] for row in rows if row["pre"] == "none"} == rules.RULES.keys()
    assert {each.name for row in rows for each in preaggregation.parse(row["pre"])} == {
        *preaggregation.PRE_AGGREGATIONS
    }
    draw = bytes.fromhex(given["draw"])
    for row in rows:
        start = given["start"] if row["rule"] == memory.STARTING else None
        found = stranger_rules.aggregate(given["matrix"], row["rule"], row["pre"], row["byzantine"], draw, start)
        assert found == row["refined"], row
    for row in map(protocol.json.loads, lines("drawings")):
        drawn = stranger_rules.drawn(draw, row["drawing"], row["dim"])
        assert (drawn[:6], sum(drawn)) == (row["first"], row["sum"])
    for row in map(protocol.json.loads, lines("carry")):
        assert stranger_rules.carried(row["before"], row["aggregate"], row["now"]) == row["row"]
    (said,) = map(protocol.json.loads, lines("draw"))
    assert (
        hashlib.sha256(b"folkmoot/draw/v1\n" + said["identity"].encode()).hexdigest() == said["draw"] == given["draw"]
    )


STEPS = (
    "none",
    "nnm",
    "arc",
    "bucketing:3",
    "clip:400",
    "arc+nnm",
    "bucketing+arc",
    "clip:9+nnm+arc",
    "clip:9+bucketing:2+arc+nnm",
)


@pytest.mark.parametrize("rule", rules.RULES)
def test_the_second_implementation_agrees_everywhere(rule: str) -> None:
    """On random matrices, small and large, with ties and repeated rows, it has the code's refined bits."""
    draws = random.Random(rule)
    done = 0
    while done < 36:
        matrix, start = _matrix(draws, draws.randint(1, 13))
        f, pre, draw = draws.randint(0, 3), draws.choice(STEPS), draws.randbytes(32)
        done += _agree(matrix, rule, pre, 0 if rule == "mean" else f, draw, start)


@pytest.mark.parametrize(
    ("rule", "pre", "rows", "dim", "f"),
    [
        ("caf", "none", 66, 40, 3),
        ("caf", "nnm", 70, 3, 9),
        ("dnc", "arc", 68, 9, 4),
        ("smea", "none", 14, 4, 4),
        ("geometric_median", "arc", 60, 5, 20),
        ("trimmed_mean", "clip:9000+arc+nnm", 60, 4, 7),
    ],
)
def test_the_second_implementation_agrees_on_larger_matrices(rule: str, pre: str, rows: int, dim: int, f: int) -> None:
    """More than 64 rows, more subsets than a block holds, integers beyond 2^53."""
    draws = random.Random(rows)
    matrix = [[draws.randint(-3000, 3000) for _ in range(dim)] for _ in range(rows)]
    assert _agree(matrix, rule, pre, f, b"draw", matrix[0])


@pytest.mark.parametrize("rule", ["geometric_median", "centered_clipping", "caf"])
def test_the_second_implementation_has_the_same_weights(rule: str) -> None:
    """Before they are rounded: to the last bit of the doubles, which refined aggregates hide."""
    draws = random.Random(rule)
    for rows in (*range(3, 23), 66):
        matrix, start = _matrix(draws, rows)
        f, anchored = (rows - 1) // 2, rule == memory.STARTING
        among = geometry.of(gram.products(torch.tensor([*matrix, start][: rows + anchored], dtype=torch.int16)))
        case = rules.Case(rows=rows, f=f, whole=among, start=rows if anchored else None, samples=())
        decided = rules.RULES[rule].decide(case)
        assert isinstance(decided, weights.Weights)
        theirs = stranger_rules.RULES[rule]([[int(each) for each in row] for row in among.squared], f)
        assert decided.numerators.tolist() == theirs


def test_the_second_implementation_has_the_same_eigenvalues() -> None:
    """The stretch that `caf` and `dnc` look at and the eigenvalue that `smea` compares, to the last bit."""
    draws = random.Random(4)
    for rows in (*range(2, 18), 70):
        squared = geometry.of(gram.products(torch.tensor(_matrix(draws, rows)[0], dtype=torch.int16))).squared
        shares = np.array([draws.random() for _ in range(rows)])
        shares /= shares.sum()
        value, deviations = spectral.stretch(squared.astype(np.float64), shares)
        theirs = stranger_reals.stretch(squared.astype(np.float64).tolist(), shares.tolist())
        assert (value, deviations.tolist()) == theirs
        if rows < 18:
            even = stranger_reals.uniform(squared.astype(np.float64).tolist())
            (largest,) = spectral.largest(np.array(even)[:, :, np.newaxis])
            assert largest == stranger_reals.largest(even, math.inf)


def test_the_second_implementation_draws_the_same_coordinates() -> None:
    """Of many coordinates `dnc` sees those drawn alone: here they decide who is left out."""
    outcomes = set()
    for number in range(5):
        matrix = [[0] * 20_001 for _ in range(3)]
        for row, at in enumerate((17, 4_000, 20_000)):
            matrix[row][at] = 1000 + row
        assert _agree(matrix, "dnc", "none", 1, bytes([number]), matrix[0])
        outcomes.add(tuple(stranger_rules.dnc(matrix, 1, bytes([number]))))
    assert len(outcomes) > 1


def test_the_second_implementation_judges_alike() -> None:
    """Standings and who is set aside: the document's, and those of random members over several rounds."""
    given, *rounds = map(protocol.json.loads, lines("standing"))
    for row in rounds:
        before, after = ([[*map(float, each[:3]), each[3]] for each in row[name]] for name in ("before", "after"))
        judgement = stranger_rules.judge(given["matrix"], given["last"], before, given["byzantine"])
        assert judgement == (after, row["aside"])
    draws = random.Random(8)
    apart: list[int] = []
    for _ in range(60):
        rows = draws.randint(1, 9)
        ours = [standing.Standing()] * rows
        theirs = [[0.0, 0.0, 0.0, 0]] * rows
        for _ in range(4):
            matrix, last = _matrix(draws, rows)
            judged = standing.judge(torch.tensor([*matrix, last], dtype=torch.int16), ours, 2)
            theirs, aside = stranger_rules.judge(matrix, last, theirs, 2)
            ours = list(judged.standings)
            assert [[each.gain, each.length, each.reach, each.rounds] for each in ours] == theirs
            assert {*judged.kept} == {*range(rows)} - {*aside}
            apart += aside
    assert len(apart) > 30


def _matrix(draws: random.Random, rows: int) -> tuple[list[list[int]], list[int]]:
    """Rows and a start row: scattered, of few values, repeated, or on a line."""
    dim, most = draws.choice((1, 2, 5)), draws.choice((1, 30, 400, 32767))
    vectors = [[draws.randint(-most, most) for _ in range(dim)] for _ in range(draws.choice((3, rows + 1)))]
    if draws.random() < 0.2:
        vectors = [[max(-32767, min(32767, each * draws.randint(-99, 99))) for each in vectors[0]] for _ in range(rows)]
    return [draws.choice(vectors) for _ in range(rows)], vectors[0]


def _agree(matrix: list[list[int]], rule: str, pre: str, f: int, draw: bytes, start: list[int]) -> bool:
    """Compares the two; False where the rows are too few."""
    anchored = rule == memory.STARTING
    method = recipe.Method(rule=rule, pre=pre, byzantine=f, draw=draw, anchored=anchored)
    try:
        rules.check(rule, pre, len(matrix), f)
    except aggregation_errors.TooFewError:
        return False
    ours = lattice.refine(
        recipe.aggregate(torch.tensor([*matrix, start] if anchored else matrix, dtype=torch.int16), method)
    )
    theirs = stranger_rules.aggregate(matrix, rule, pre, f, draw, start if anchored else None)
    assert ours.tolist() == theirs, (rule, pre, f, draw, matrix, start)
    return True


GIVEN = limits.Limits()
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
    (12, lattice.BOUND),
    (12, subsets.MOST_SUBSETS),
    (12, subsets.MOST_CONFLICTING),
    (12, divide_and_conquer.SIZE),
    (20, account_statement.MAX_BYTES),
    (20, bookkeeping.MICRO),
    (20, distribution.MAX_BYTES),
    (21, blockservice.BURST),
    (21, blockservice.MAX_CAR),
    (21, car.MAX_HEADER),
    (21, gateway.MAX_ANSWER),
    (21, unixfs.MAX_BLOCK),
    (28, bundle.MAX_INDEX),
    (28, crate.MAX_BLOCKS),
    (24, answer.MOST_CHARACTERS),
    (24, dsse.MAX_BYTES),
    (24, growth.PIECE),
    (24, service.MAX_HEAD),
    (24, GIVEN.burst),
    (24, int(GIVEN.rate)),
    (24, GIVEN.connections),
    (24, GIVEN.each),
    (24, GIVEN.requests),
    (24, GIVEN.tails),
    (24, GIVEN.requests_share),
    (24, GIVEN.puts),
    (24, GIVEN.puts_each),
    (24, GIVEN.puts_share),
    (24, GIVEN.said),
    (24, int(GIVEN.said_rate)),
    (24, GIVEN.waiting),
    (24, int(GIVEN.patience)),
    (24, int(growth.BEAT)),
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
    assert optimizer.limit(agreed) == 16 * dim + 1048576
    assert "16 * dim + 1,048,576" in sections()[11]
    assert [row[0] for row in table(sections()[7], "tensor")] == [spec.name for spec in agreed.specs]


def test_the_constants_of_the_rules_are_the_codes() -> None:
    """Tolerances, numbers of turns and bits of P12 as the code has them."""
    text, raw = " ".join(sections()[12].split()), sections()[12]
    powers = {
        "2^%d * (element floor(m / 2)": geometric_median._SMOOTHING,
        "<= 2^%d * m": geometric_median._TOLERANCE,
        "least * (1 + 2^%d)": geometric_median._NOISE,
        "least * (1 - 2^%d)": 1 - subsets._BETTER,
        "R > 1 - 2^%d": spectral._CLOSE,
        "A_ij - B_ij| < 2^%d": spectral._CLOSE,
        "2^%d * sum(image_e": spectral._CLOSE**2,
        "b = 2^%d": 2**clipping._FACTOR_BITS,
        "* 2^%d, rounded to an integer": 2**weights.FRACTION_BITS,
        "more than 2^%d": 2**weights.MAGNITUDE_BITS,
        "floor(2^%d / (m - f)^3)": subsets.MOST_WORK,
    }
    for words, value in powers.items():
        assert words % math.log2(value) in text, words
    turns = {
        "at most %d times:\n    q": geometric_median._MOST_STEPS,
        "%d times:\n    z": clipping.STEPS,
        "at most %d times:\n      ": spectral._SQUARINGS,
        "for e = 0 .. %d:\n                        R": spectral._SQUARINGS - 1,
        "for e = 0 .. %d:\n                        basis": spectral._KRYLOV - 1,
        "top(M), r > %d:": spectral._LARGE,
        "floor(%d / (m - f)^2)": subsets._BATCH,
    }
    for words, number in turns.items():
        assert words % number in raw, words
    assert f"= {standing.KEPT} * gain_i + {standing.NEW} * g_i" in text
    assert f"c_i < -{standing.AGAINST}," in text
    assert f"gain_i > {standing.CLAIMED} * M" in text
    assert f'{{"format":"{aggregate.STANDING}",' in text
    assert divide_and_conquer.ITERATIONS == len(lines("drawings")) == 5
    assert "five drawings" in text
    assert f'`"{fold.DRAW}" LF identity`' in text


def test_the_account_statement_is_checked_with_the_log_s_key() -> None:
    """P20's example shows what the run paid holder-00, from the file and the key of P2 alone; its members are the table's."""
    [line] = lines("account-statement")
    key = vkey.parse(protocol.json.loads(lines("keys")[-1])["vkey"])
    alone = policy.Policy(logs=(key,), witnesses={}, groups={}, quorum=policy.NONE)
    shown = account_statement.check(line.encode(), lambda note: alone.accept(note, key.name).checkpoint)
    assert (shown.member, shown.checkpoint.size) == ("holder-00", 15)
    paid = statements.parse(lines("credit.transfer")[0].encode()).postings
    assert shown.balance == transfers.changes(paid)["holder-00"]
    assert {row[0] for row in table(sections()[20], "member")} == protocol.json.loads(line).keys()
    assert account_statement.FORMAT in sections()[20]
    assert str(bookkeeping.START) in sections()[20]


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


def test_the_paths_of_tiles_are_read_back() -> None:
    """Each path of P19 is that of its level, number and width."""
    for row in map(protocol.json.loads, lines("tiles")):
        level = None if row["level"] == "entries" else row["level"]
        assert tiles.Tile.parse(row["path"]) == tiles.Tile(level=level, index=row["N"], width=row["W"])


def test_the_published_files_follow_from_the_leaves() -> None:
    """Bundles, tiles and checkpoint of P19, made of the document's leaves and notes by the words of the section alone."""
    leaves = [line.encode() for line in lines("log")]
    expected = {"checkpoint": EXAMPLES["note-15"].encode()}
    for size in (7, 15):
        expected[f"tile/0/000.p/{size}"] = b"".join(hashlib.sha256(b"\0" + each).digest() for each in leaves[:size])
        expected[f"tile/entries/000.p/{size}"] = b"".join(len(each).to_bytes(2, "big") + each for each in leaves[:size])
    said = {row["path"]: (row["bytes"], row["sha256"]) for row in map(protocol.json.loads, lines("published"))}
    assert said == {path: (len(data), hashlib.sha256(data).hexdigest()) for path, data in expected.items()}


def test_the_proof_file_proves_its_leaf() -> None:
    """The proof file of P19 ends with the last note and leads from leaf 8 to its root, and from no other leaf."""
    made = proof.Proof.parse(EXAMPLES["tlog-proof"].encode())
    assert made.note == EXAMPLES["note-15"].encode()
    promise = checkpoint.unverified(made.note, EXAMPLES["note-15"].split("\n")[0])
    assert made.verify(lines("log")[8].encode(), lambda _: promise) == promise
    with pytest.raises(ledger_errors.ProofError):
        made.verify(lines("log")[9].encode(), lambda _: promise)
    assert f"{proof.MAX_BYTES:,}" in sections()[19]
    assert f"{proof.MAX_EXTRA:,}" in sections()[19]


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


@pytest.mark.parametrize("number", sorted(sections().keys() - {17}))
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


def _ranges(part: type[section.Section]) -> Iterator[tuple[str, tuple[str, str]]]:
    hints = typing.get_type_hints(part)
    for field in dataclasses.fields(part):
        kind = hints[field.name]
        if isinstance(kind, type) and issubclass(kind, section.Section):
            yield from _ranges(kind)
        elif kind not in {str, bool}:
            yield part.WHERE + field.name, _range(kind, field.metadata["low"], field.metadata["high"])


def _range(kind: typing.Any, low: float, high: float) -> tuple[str, str]:
    if kind in {int, float}:
        return {int: "integer", float: "real"}[kind], f"{kind(low)!r} .. {kind(high)!r}"
    return {str: "list of texts", float: "list of reals"}[typing.get_args(kind)[0]], f"{low} .. {high} entries"


def _coded(module: ModuleType) -> Iterator[typing.Any]:
    return (each for each in vars(module).values() if isinstance(each, type) and hasattr(each, "code"))


def _below(kind: typing.Any) -> Iterable[typing.Any]:
    return [kind, *(each for child in kind.__subclasses__() for each in _below(child))]


def _hyphenated(*modules: str) -> Iterator[str]:
    """String constants such as `wrong-round` in modules of the ledger."""
    for module in modules:
        for node in ast.walk(ast.parse((ROOT / "ledger" / f"{module}.py").read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from re.findall(
                    r"^(?:[a-z]+-)*(?:equivocation|revoked|declined|offered|[a-z]+-[a-z]+)$", node.value
                )


def test_a_witness_answers_as_p18_says() -> None:
    """The answer of P18 is an Ed25519 signature of the witness of P18's policy over what P5 says, and its request is proven."""
    promised = "".join(f"{line}\n" for line in lines("note-15")[:3])
    prefix, name, encoded = lines("witness-answer")[0].split(" ")
    payload = base64.b64decode(encoded)
    vkey = lines("policy")[1].split(" ")[2]
    named, identity, key = vkey.split("+")
    raw = base64.b64decode(key)
    assert (prefix, name, payload[:4].hex(), raw[:1]) == ("\u2014", named, identity, b"\x04")
    assert identity == hashlib.sha256(named.encode() + b"\n" + raw).hexdigest()[:8]
    time = int.from_bytes(payload[4:12], "big")
    assert time == 1_700_000_000
    message = f"cosignature/v1\ntime {time}\n{promised}".encode()
    ed25519.Ed25519PublicKey.from_public_bytes(raw[1:]).verify(payload[12:], message)
    request = lines("witness-request")
    empty = request.index("")
    assert "\n".join(request[empty + 1 :]) + "\n" == EXAMPLES["note-15"]
    proof_lines = [base64.b64decode(line) for line in request[1:empty]]
    roots = [base64.b64decode(EXAMPLES[note].split("\n")[2]) for note in ("note-7", "note-15")]
    assert request[0] == "old 7"
    merkle.verify_consistency(7, 15, *roots, proof_lines)
