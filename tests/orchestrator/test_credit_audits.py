"""An audit of what a run paid: the same on every machine, and each number of a book or a payment that is altered is named."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from click import testing

from client import agreement
from exchange import blocks
from ledger import dsse, statements, transfers
from orchestrator import aggregate, cli, crediting, errors, findings, journal, scorebook
from tests.orchestrator import conftest, test_replay

LIMIT = 2**24
ROUNDS = (1, 2)
MEMBERS = tuple(f"holder-{number:02}" for number in range(10))

PATHS: Mapping[str, Mapping[str, str]] = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads, plain MKL, old OpenBLAS": {
        "OMP_NUM_THREADS": "2",
        "MKL_DYNAMIC": "FALSE",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Nehalem",
        "ATEN_CPU_CAPABILITY": "default",
    },
    "four threads, SSE": {
        "OMP_NUM_THREADS": "4",
        "MKL_DYNAMIC": "FALSE",
        "MKL_CBWR": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL",
    },
}
EACH: Mapping[str, Mapping[str, str]] = {
    f"{threads} threads, {name}={value}": {"OMP_NUM_THREADS": threads, "MKL_DYNAMIC": "FALSE", name: value}
    for threads in "124"
    for name, value in (
        ("MKL_CBWR", "COMPATIBLE"),
        ("MKL_CBWR", "AVX2"),
        ("OPENBLAS_CORETYPE", "Nehalem"),
        ("OPENBLAS_CORETYPE", "SkylakeX"),
        ("ATEN_CPU_CAPABILITY", "default"),
        ("ATEN_CPU_CAPABILITY", "avx2"),
        ("ONEDNN_MAX_CPU_ISA", "SSE41"),
    )
}
ELSEWHERE = """
import hashlib, json, sys, warnings
import numpy, torch
from click import testing
from client import appraisal, training
from client.tasks import catalogue
from orchestrator import cli, config
draw = numpy.random.default_rng(0).standard_normal
ours, theirs, many = (draw(shape).astype("f4") for shape in ((200, 300), (300, 170), 100_003))
left, right = torch.from_numpy(ours), torch.from_numpy(theirs)
image, kernel = left[:128, :288].reshape(4, 3, 64, 48), right[:15, :9].reshape(5, 3, 3, 3)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    plain = {
        "torch float32 matmul": left @ right,
        "torch float64 matmul": left.double() @ right.double(),
        "torch float32 by a vector": left @ right[:, 0],
        "torch convolution": torch.conv2d(image, kernel),
        "torch sum": torch.from_numpy(many).sum(),
        "torch log_softmax": left.log_softmax(1),
        "numpy float32 matmul": ours @ theirs,
        "numpy float64 matmul": ours.astype("f8") @ theirs.astype("f8"),
        "numpy exp": numpy.exp(ours),
    }
bits = {name: hashlib.sha256(numpy.ascontiguousarray(each).tobytes()).hexdigest() for name, each in plain.items()}
made = catalogue.load(config.compose([]).plan.task, seed=0)
weights = training.initial(made, seed=0)
judged = appraisal.Appraiser(made, made.test(), most=0).scores(weights)
exact = hashlib.sha256(judged.to(torch.float64).numpy().tobytes()).hexdigest()
said = []
for place in sys.argv[1:]:
    done = testing.CliRunner().invoke(cli.cli, ["audit", place, "--no-memory", "--json"])
    assert done.exit_code == 0, done.output
    said.append({name: value for name, value in json.loads(done.stdout).items() if name != "seconds"})
print(json.dumps([bits, torch.get_num_threads(), [exact, *said]]))
"""


def invoke(*arguments: object, code: int = 0) -> str:
    done = testing.CliRunner().invoke(cli.cli, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output


@pytest.fixture(scope="module")
def whole(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the finished run, which pays by `secant_shapley`."""
    path = tmp_path_factory.mktemp("whole") / "run.car"
    invoke("audit", pristine, "--no-memory", "--export", path)
    return path


def elsewhere(environment: Mapping[str, str], *places: Path) -> tuple[dict[str, str], int, list[object]]:
    """In a process with another environment: plain arithmetic; threads; a model to the last bit, and audits of these places."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MKL_", "OPENBLAS_"))}
    command = [sys.executable, "-c", ELSEWHERE, *map(str, places)]
    done = subprocess.run(command, env=plain | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    bits, threads, said = json.loads(done.stdout)
    return bits, threads, said


def require_same(paths: Mapping[str, Mapping[str, str]], *places: Path) -> None:
    """Each path comes to the same audits of these places; and where torch has MKL, some path to other plain arithmetic."""
    found = [elsewhere(environment, *places) for environment in paths.values()]
    assert [threads for _, threads, _ in found] == [int(each["OMP_NUM_THREADS"]) for each in paths.values()]
    here = json.loads(invoke("audit", places[0], "--no-memory", "--json"))
    assert here.pop("seconds") >= 0
    assert here["checked"]["scores"] == here["checked"]["credits"] > 0
    exact = found[0][2][0]
    assert [said for _, _, said in found] == [[exact] + [here] * len(places)] * len(paths)
    other = {name for bits, _, _ in found for name in bits if bits[name] != found[0][0][name]}
    if torch.backends.mkl.is_available():
        assert {"torch float32 matmul", "torch float64 matmul"} <= other


def test_another_process_thread_count_and_blas_come_to_the_same(pristine: Path, whole: Path) -> None:
    """Of the folder and of the bundle, every line: scores and payments have no bits that a machine could decide.

    The same processes multiply plain matrices, so that the paths are known to be others. With torch 2.13.0 for CPUs and numpy
    2.4 on an AMD EPYC with AVX-512:

        MKL_CBWR=COMPATIBLE             changes torch's matmul, float32 and float64
        MKL_CBWR=SSE4_2 or AVX2         torch's product with a vector
        OPENBLAS_CORETYPE               numpy's matmul, float32 and float64
        ATEN_CPU_CAPABILITY             torch's log_softmax
        ONEDNN_MAX_CPU_ISA=SSE41        torch's convolution
        NPY_DISABLE_CPU_FEATURES        numpy's exp
        OMP_NUM_THREADS                 torch's sum of 100,003 numbers; MKL_DYNAMIC=FALSE for more threads than cores
        MKL_ENABLE_INSTRUCTIONS         nothing: MKL reads it on processors of Intel alone
    """
    require_same(PATHS, pristine, whole)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("task", ["table", "text"])
def test_every_path_alone_comes_to_the_same(task: str, tmp_path: Path) -> None:
    """Each of the settings above by 1, 2 and 4 threads, on rounds of other tasks, with an embedding and with few rows."""
    run, bundle = tmp_path / "run", tmp_path / "run.car"
    conftest.execute(run, f"task={task}", "task.holders=10")
    invoke("audit", run, "--no-memory", "--export", bundle)
    require_same(EACH, run, bundle)


class Cheat:
    """A coordinator's folder in which it alters what it wrote of a round, and signs all of it again."""

    def __init__(self, root: Path, number: int) -> None:
        self.root, self.number = root, number
        with journal.published(root / "ledger.sqlite") as record:
            envelopes: list[dsse.Envelope] = [entry.envelope for entry in record.entries()]
        self.agreed = agreement.Agreement.read(envelopes[0])
        self.said = [statements.parse(each.payload) for each in envelopes]
        self.store = blocks.BlockStore(root)
        [self.commit] = list(self._of(statements.RoundCommit))
        [self.credit] = list(self._of(statements.CreditTransfer))
        self.aggregate = aggregate.decode(self._file(self.commit.aggregate), self.agreed.specs)
        self.book = scorebook.decode(self._file(self.aggregate.scores))

    def line(self, member: str, **changes: object) -> None:
        """Another line of the book, with an aggregate that names it, a commit of that, and the payments that follow."""
        line = dataclasses.replace(self.book.members[member], **changes)
        book = dataclasses.replace(self.book, members={**self.book.members, member: line})
        self.write(book, crediting._amounts(self.agreed, book.members))

    def write(self, book: scorebook.Book, amounts: Mapping[str, int]) -> None:
        """This book and these payments, on record."""
        named = str(self.store.put(scorebook.encode(book)))
        file = aggregate.encode(dataclasses.replace(self.aggregate, scores=named), self.agreed.specs)
        commit = dataclasses.replace(self.commit, aggregate=str(self.store.put(file)))
        credit = dataclasses.replace(self.credit, postings=transfers.payment(amounts))
        self.say((self.commit, commit), (self.credit, credit))

    def pay(self, amounts: Mapping[str, int]) -> None:
        """These payments, by an honest book."""
        self.say((self.credit, dataclasses.replace(self.credit, postings=transfers.payment(amounts))))

    def say(self, *changed: tuple[statements.Predicate, statements.Predicate]) -> None:
        """Of each pair the second in place of the first."""
        test_replay.rewrite(self.root, lambda said: next((new for old, new in changed if old == said), said))

    def difference(self, path: Path) -> str:
        """What an audit of the folder says, and of its bundle after it."""
        said = invoke("audit", self.root, "--no-memory", "--export", path, "--force", code=1)
        again = invoke("audit", path, "--no-memory", code=1)
        assert said.startswith(again.removesuffix("\n"))
        return again

    def _of(self, kind: type[statements.Predicate]) -> list[statements.Predicate]:
        return [each for each in self.said if isinstance(each, kind) and each.round == self.number]

    def _file(self, cid: str) -> bytes:
        return self.store.get(cid, limit=LIMIT)


Open = Callable[[int], Cheat]


@pytest.fixture
def cheating(pristine: Path, tmp_path: Path) -> Open:
    """A cheating coordinator of a fresh copy of the run."""

    def opened(number: int) -> Cheat:
        root = tmp_path / "run"
        shutil.rmtree(root, ignore_errors=True)
        return Cheat(Path(shutil.copytree(pristine, root)), number)

    return opened


def spelled(line: scorebook.Line) -> str:
    return f"score {line.score} ({line.ruling}, party of {line.party}, T {line.chance})"


def test_an_honest_book_written_again_audits(cheating: Open, tmp_path: Path) -> None:
    """The cheat's tool is sound: the same book and the payments that follow from it are no difference."""
    cheat = cheating(1)
    amounts = crediting._amounts(cheat.agreed, cheat.book.members)
    cheat.write(cheat.book, amounts)
    assert "scores" in invoke("audit", cheat.root, "--no-memory", "--json")
    assert transfers.payment(amounts) == cheat.credit.postings


@pytest.mark.parametrize("number", ROUNDS)
def test_each_altered_score_is_named(cheating: Open, number: int, tmp_path: Path) -> None:
    """One unit more or less for any member, paid or not, in folder and bundle: round, member and both lines are told."""
    for place, member in enumerate(MEMBERS):
        cheat = cheating(number)
        line = cheat.book.members[member]
        other = dataclasses.replace(line, score=line.score + (1 if place % 2 else -1))
        cheat.line(member, score=other.score)
        said = f"round {number}: {member} is on record with {spelled(other)}, recomputed {spelled(line)}"
        assert said in cheat.difference(tmp_path / "run.car")


@pytest.mark.parametrize("number", ROUNDS)
def test_each_altered_payment_is_named(cheating: Open, number: int, tmp_path: Path) -> None:
    """One micro-credit from any member to the next, the sum kept: both members and all four amounts are told."""
    for place, heir in enumerate(MEMBERS):
        cheat = cheating(number)
        amounts = dict.fromkeys(MEMBERS, 0) | transfers.changes(cheat.credit.postings)
        giver = next(name for name in MEMBERS[place + 1 :] + MEMBERS[:place] if amounts[name])
        cheat.pay({**amounts, heir: amounts[heir] + 1, giver: amounts[giver] - 1})
        lines = {
            heir: f"{heir} {amounts[heir] + 1}, recomputed {amounts[heir]}",
            giver: f"{giver} {amounts[giver] - 1}, recomputed {amounts[giver]}",
        }
        said = f"round {number}: credit says postings {'; '.join(lines[name] for name in sorted(lines))}\n"
        assert said in cheat.difference(tmp_path / "run.car")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ruling": "echo"}, "score {score} (echo, party of {member}, T {chance})"),
        ({"ruling": "silent", "score": 0}, "score 0 (silent, party of {member}, T {chance})"),
        ({"chance": 7}, "score {score} ({ruling}, party of {member}, T 7)"),
        ({"party": "holder-00"}, "score {score} ({ruling}, party of holder-00, T {chance})"),
        ({"score": 2**80}, "score {huge} ({ruling}, party of {member}, T {chance})"),
    ],
)
def test_any_number_of_a_line_is_named(cheating: Open, changes: dict[str, object], named: str, tmp_path: Path) -> None:
    """Ruling, party and T as the score; all that follows from the lie is paid as the book says, and the lie is told."""
    cheat = cheating(2)
    line = cheat.book.members["holder-04"]
    cheat.line("holder-04", **changes)
    about = {"member": "holder-04", "score": line.score, "ruling": line.ruling, "chance": line.chance, "huge": 2**80}
    said = f"round 2: holder-04 is on record with {named.format(**about)}, recomputed {spelled(line)}"
    assert said in cheat.difference(tmp_path / "run.car")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluations": 3}, "round 2: the book of scores is not the recomputed one"),
        ({"before": ""}, "round 2: the book of scores is not the recomputed one"),
    ],
)
def test_the_rest_of_a_book_is_compared_too(cheating: Open, changes: dict, said: str, tmp_path: Path) -> None:
    """How many models it took, and the chain to the book before."""
    cheat = cheating(2)
    cheat.write(dataclasses.replace(cheat.book, **changes), crediting._amounts(cheat.agreed, cheat.book.members))
    assert said in cheat.difference(tmp_path / "run.car")


def test_a_line_left_out_or_made_up_is_named(cheating: Open, tmp_path: Path) -> None:
    """A member without a line, and a line without a member."""
    cheat = cheating(1)
    lines = dict(cheat.book.members)
    gone, amounts = lines.pop("holder-03"), crediting._amounts(cheat.agreed, cheat.book.members)
    cheat.write(dataclasses.replace(cheat.book, members=lines), amounts)
    assert f"holder-03 is on record with no score, recomputed {spelled(gone)}" in cheat.difference(tmp_path / "run.car")
    cheat = cheating(1)
    cheat.write(dataclasses.replace(cheat.book, members={**cheat.book.members, "sybil": gone}), amounts)
    assert f"sybil is on record with {spelled(gone)}, recomputed no score" in cheat.difference(tmp_path / "run.car")


@pytest.mark.parametrize("more", [1, -1])
def test_a_payment_that_is_not_the_pool_is_named_by_its_entry(cheating: Open, more: int, tmp_path: Path) -> None:
    """One micro-credit more or less than the pool is refused by the log's own rules, without any recomputation."""
    cheat = cheating(1)
    amounts = transfers.changes(cheat.credit.postings)
    richest = max(amounts, key=amounts.__getitem__)
    cheat.pay({**amounts, richest: amounts[richest] + more})
    entry, pool = cheat.said.index(cheat.credit), cheat.agreed.plan.credit.pool
    said = f"entry {entry}: wrong-pool: {pool + more} micro-credits are issued, expected the plan's {pool}"
    assert said in cheat.difference(tmp_path / "run.car")


def test_postings_that_do_not_cancel_out_cannot_be_said(cheating: Open) -> None:
    """Credit is never made outside of what is issued: no statement says so."""
    credit = cheating(1).credit
    (issued, pool), (first, amount), *others = credit.postings
    with pytest.raises(statements.errors.StatementError, match="postings"):
        statements.build(dataclasses.replace(credit, postings=((issued, pool), (first, amount + 1), *others)))


def test_a_disproved_round_is_taken_back_in_its_bundle(cheating: Open, tmp_path: Path) -> None:
    """A forged score, found; its credit, taken back to the micro; and the bundle tells both: what was paid, and the lie."""
    cheat = cheating(2)
    cheat.line("holder-06", score=cheat.book.members["holder-06"].score * 3 + 10**9, ruling="scored")
    before = cheat.difference(tmp_path / "run.car")
    assert "round 2: holder-06 is on record" in before
    said = json.loads(invoke("ledger", "reverse", cheat.root, 2, "--reason", "audit-difference", "--json"))
    assert cheat.difference(tmp_path / "run.car") == before
    [first] = [each for each in cheat.said if isinstance(each, statements.CreditTransfer) and each.round == 1]
    honest = transfers.changes(first.postings)
    assert said["balances"] == {name: honest.get(name, 0) for name in said["balances"]}


def test_a_round_taken_back_leaves_books_and_bundle_sound(finished: Path, tmp_path: Path) -> None:
    """An honest round's credit taken back: its book is recomputed as before, in folder and bundle, and every sum is 0."""
    path = tmp_path / "run.car"
    invoke("ledger", "reverse", finished, 1, "--reason", "holder-lied")
    here = json.loads(invoke("audit", finished, "--no-memory", "--json", "--export", path))
    there = json.loads(invoke("audit", path, "--no-memory", "--json"))
    assert here | {"seconds": 0} == there | {"seconds": 0}
    assert (there["checked"]["scores"], there["taken_back"]) == (20, {"1": "holder-lied"})
    with journal.published(finished / "ledger.sqlite") as record:
        said = [statements.parse(entry.envelope.payload) for entry in record.entries()]
    sums = [sum(amount for _, amount in each.postings) for each in said if isinstance(each, statements.CreditTransfer)]
    assert sums == [0, 0, 0]


def test_many_differences_are_not_all_told() -> None:
    """Of a payment where every member's line is another, five are told, and how many more there are."""
    where = {"author": "coordinator", "run": "0" * 64, "round": 1, "id": "round/1", "code": "round", "reverses": ""}
    paid, due = (transfers.payment(dict.fromkeys(MEMBERS, amount)) for amount in (6, 5))
    first, second = (statements.CreditTransfer(**where, postings=each) for each in (paid, due))
    assert findings.payments(1, first, first) is None
    with pytest.raises(errors.AuditError, match=r"holder-04 6, recomputed 5; and 5 more$"):
        findings.payments(1, first, second)
