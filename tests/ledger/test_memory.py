"""What is remembered of logs, and the evidence when one of them breaks its promise."""

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import checkpoint, errors, evidence, keys, memory, merkle, note

ORIGIN = "folkmoot.test/log"
KEY = keys.SigningKey.generate()
VERIFIER = note.Verifier(name=ORIGIN, key=KEY.public)


def leaves(count, *, fork=None):
    """Leaf hashes of a history; `fork` is the entry from which on it is another one."""
    return [merkle.leaf_hash(b"%d%s" % (n, b"'" if fork is not None and n >= fork else b"")) for n in range(count)]


class History:
    """A log's operator, with one history that it signs at any size."""

    def __init__(self, count, *, fork=None):
        self.node = merkle.over(leaves(count, fork=fork))

    def root(self, size):
        return merkle.root(size, self.node)

    def note(self, size, root=None):
        return checkpoint.sign(checkpoint.LogCheckpoint(origin=ORIGIN, size=size, root=root or self.root(size)), KEY)

    def prove(self, old, new):
        return merkle.consistency_proof(old, new, self.node)


TRUE = History(40)


def trust(data):
    return checkpoint.verify(data, ORIGIN, KEY.public)


@pytest.fixture
def held(tmp_path):
    return memory.Memory(tmp_path / "memory")


def accept(held, told, size, *, root=False, now=1_700_000_000):
    return held.accept(told.note(size), trust, told.prove, now=now, root=told.root if root else None)


def test_first_use_trusts_and_later_use_holds_to_it(held):
    """Nothing is known at first; from then on each accepted checkpoint is, with its note and its time."""
    assert held.last(ORIGIN) is None
    assert accept(held, TRUE, 5, now=1) is None
    assert accept(held, TRUE, 17, now=2) == memory.Remembered(checkpoint=trust(TRUE.note(5)), note=TRUE.note(5), time=1)
    assert accept(held, TRUE, 17, now=3).time == 2
    assert memory.Memory(held._folder).last(ORIGIN) == memory.Remembered(
        checkpoint=trust(TRUE.note(17)), note=TRUE.note(17), time=2
    )


@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_an_honest_log_is_always_accepted(tmp_path_factory, sizes):
    """Any growing sequence of checkpoints of one history, empty ones and repetitions too."""
    held = memory.Memory(tmp_path_factory.mktemp("memory"))
    for size in sorted(sizes):
        accept(held, TRUE, size)
    assert held.last(ORIGIN).checkpoint.size == max(sizes)


def stranger(folder):
    """What somebody finds who has the evidence and the log's verifier key, and nothing else."""
    return evidence.Evidence.read(Path(folder)).judge(VERIFIER)


@pytest.mark.parametrize("size", [7, 8, 16, 33])
def test_a_rewritten_history_is_refused_and_convicted(held, size):
    """An operator drops or changes an entry, hashes and signs all anew, and proves its new tree honestly (attack 43)."""
    accept(held, TRUE, size)
    rewritten = History(40, fork=3)
    with pytest.raises(errors.ForkError) as caught:
        accept(held, rewritten, 40, root=True)
    assert caught.value.evidence in str(caught.value)
    assert held.last(ORIGIN).checkpoint == trust(TRUE.note(size))
    found = stranger(caught.value.evidence)
    assert found.convicts, found
    assert rewritten.root(size).hex() in found.why


def test_a_newcomer_believes_the_rewritten_history(tmp_path):
    """The documented limit: who remembers nothing finds no fault in it (attack 43)."""
    rewritten = History(40, fork=3)
    newcomer = memory.Memory(tmp_path)
    assert accept(newcomer, rewritten, 40) is None
    assert newcomer.last(ORIGIN).checkpoint.root == rewritten.root(40)


def test_a_rollback_is_refused(held):
    """Fewer entries than were accepted before (attack 43); both notes are kept."""
    accept(held, TRUE, 30)
    with pytest.raises(errors.StaleError) as caught:
        accept(held, TRUE, 20)
    found = stranger(caught.value.evidence)
    assert not found.convicts
    assert "20 entries with its 30" in found.why


def test_a_split_view_convicts(tmp_path):
    """Two holders are shown two histories of one size; when they compare, the second is refused (attack 43)."""
    ash, birch = memory.Memory(tmp_path / "ash"), memory.Memory(tmp_path / "birch")
    other = History(40, fork=12)
    accept(ash, TRUE, 20)
    accept(birch, other, 20)
    with pytest.raises(errors.ForkError) as caught:
        ash.accept(birch.last(ORIGIN).note, trust, other.prove, now=5)
    found = stranger(caught.value.evidence)
    assert found.convicts
    assert "two roots" in found.why


@pytest.mark.parametrize("proof", [[], [bytes(32)], [bytes(32)] * len(TRUE.prove(7, 40)), [bytes(32)] * 70])
def test_a_proof_that_leads_nowhere_convicts_nobody(held, proof):
    """It is refused all the same, and what was offered is kept: whoever offered it may have erred."""
    accept(held, TRUE, 7)
    with pytest.raises(errors.ForkError) as caught:
        held.accept(TRUE.note(40), trust, lambda old, new: proof, now=5)
    found = stranger(caught.value.evidence)
    assert not found.convicts
    assert "owes the proof" in found.why
    assert evidence.Evidence.read(Path(caught.value.evidence)).proof == tuple(proof)
    accept(held, TRUE, 40)


def test_better_evidence_replaces_worse(held):
    """The same two notes have one folder, and a proof that convicts is not lost to one that came before it."""
    rewritten = History(40, fork=3)
    accept(held, TRUE, 7)
    folders = []
    for prove in (lambda old, new: [], rewritten.prove, lambda old, new: []):
        with pytest.raises(errors.ForkError) as caught:
            held.accept(rewritten.note(40), trust, prove, now=5, root=rewritten.root)
        folders.append(caught.value.evidence)
    assert len(set(folders)) == 1
    assert stranger(folders[0]).convicts


def test_evidence_does_not_fill_the_disk(held, monkeypatch):
    """Who holds the log's key can make any number of notes; what convicts is kept even then."""
    monkeypatch.setattr(evidence, "MOST", 4)
    accept(held, TRUE, 30)
    for size in range(10):
        with pytest.raises(errors.StaleError):
            accept(held, TRUE, size)
    with pytest.raises(errors.ForkError) as caught:
        accept(held, History(40, fork=3), 30)
    assert stranger(caught.value.evidence).convicts
    assert len(list(Path(caught.value.evidence).parent.iterdir())) == 5


def test_a_root_of_nothing_is_known(held):
    """A checkpoint of no entries has the empty tree's root, at first use too."""
    with pytest.raises(errors.ProofError):
        held.accept(TRUE.note(0, root=bytes(32)), trust, TRUE.prove, now=5)
    assert held.last(ORIGIN) is None
    found = evidence.Evidence(accepted=TRUE.note(5), refused=TRUE.note(0, root=bytes(32))).judge(VERIFIER)
    assert found.convicts


def test_evidence_of_nothing(tmp_path):
    """Consistent notes convict nobody; notes the log did not sign, and damaged folders, are no evidence."""
    proof = tuple(TRUE.prove(7, 40))
    assert not evidence.Evidence(accepted=TRUE.note(7), refused=TRUE.note(40), proof=proof).judge(VERIFIER).convicts
    assert not evidence.Evidence(accepted=TRUE.note(7), refused=TRUE.note(7)).judge(VERIFIER).convicts
    promise = checkpoint.LogCheckpoint(origin=ORIGIN, size=7, root=bytes(32))
    forged = checkpoint.sign(promise, keys.SigningKey.generate())
    with pytest.raises(errors.SignatureError):
        evidence.Evidence(accepted=TRUE.note(7), refused=forged).judge(VERIFIER)
    with pytest.raises(errors.StatementError):
        evidence.Evidence.read(tmp_path)


def test_a_note_that_is_not_trusted_leaves_no_trace(held):
    """A forged note is neither remembered nor kept as evidence."""
    accept(held, TRUE, 7)
    promise = checkpoint.LogCheckpoint(origin=ORIGIN, size=7, root=bytes(32))
    before = sorted(held._folder.rglob("*"))
    with pytest.raises(errors.SignatureError):
        held.accept(checkpoint.sign(promise, keys.SigningKey.generate()), trust, TRUE.prove, now=5)
    assert sorted(held._folder.rglob("*")) == before


def test_logs_are_apart(held):
    """The memory of one log says nothing of another, whatever its name."""
    accept(held, TRUE, 20)
    for origin in ("../../etc/passwd", ORIGIN + "2"):
        other = checkpoint.sign(checkpoint.LogCheckpoint(origin=origin, size=3, root=bytes(32)), KEY)
        assert (
            held.accept(other, lambda data, of=origin: checkpoint.verify(data, of, KEY.public), TRUE.prove, now=5)
            is None
        )
    names = {path.name.partition(".")[0] for path in held._folder.iterdir()}
    assert names == {hashlib.sha256(each.encode()).hexdigest() for each in (ORIGIN, "../../etc/passwd", ORIGIN + "2")}


@pytest.mark.parametrize(
    "damage", [b"", b"time 5\n", b"time 05\n" + TRUE.note(5), b"time 5\n" + TRUE.note(5)[:-1], None]
)
def test_a_damaged_memory_is_not_forgotten(held, damage):
    """A file that does not hold a checkpoint of that log stops whoever asks: it is not taken for a first use."""
    accept(held, TRUE, 5)
    path = held._folder / hashlib.sha256(ORIGIN.encode()).hexdigest()
    if damage is None:
        other = checkpoint.sign(checkpoint.LogCheckpoint(origin="other", size=5, root=bytes(32)), KEY)
        damage = b"time 5\n" + other
    path.write_bytes(damage)
    with pytest.raises(errors.CorruptError):
        accept(held, TRUE, 40)
    assert path.read_bytes() == damage


def test_a_folder_that_cannot_be_written(tmp_path):
    """Nothing is accepted that cannot be remembered."""
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.LogError):
        accept(memory.Memory(tmp_path / "file" / "memory"), TRUE, 5)


def test_a_crash_leaves_the_old_or_the_new(held, monkeypatch):
    """Before the rename the old checkpoint is remembered still; nobody was answered (attack 39)."""
    accept(held, TRUE, 5)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", die)
        with pytest.raises(KeyboardInterrupt):
            accept(held, TRUE, 20)
    assert held.last(ORIGIN).checkpoint.size == 5
    accept(held, TRUE, 30)


def test_a_killed_process_does_not_keep_the_lock(held):
    """Kill -9 while the lock is held: the next one gets it, and the old checkpoint is still the one remembered."""
    accept(held, TRUE, 5)
    script = f"""
        import os, signal, pathlib
        from ledger import memory
        with memory.Memory(pathlib.Path({str(held._folder)!r})).held({ORIGIN!r}):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    assert accept(held, TRUE, 20).checkpoint.size == 5


def test_two_histories_at_once_end_in_one(held):
    """Of many that offer two histories at the same moment, one history is accepted and the other refused, every time."""
    outcomes = []

    def offer(told):
        try:
            accept(held, told, 20)
            outcomes.append(told)
        except errors.ForkError:
            pass

    other = History(40, fork=2)
    threads = [threading.Thread(target=offer, args=(told,)) for told in (TRUE, other) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert len(set(outcomes)) == 1


def test_where_memory_lies():
    """The state folder of the user, unless told otherwise."""
    assert memory.place({"FOLKMOOT_STATE": "/a", "XDG_STATE_HOME": "/b"}) == Path("/a")
    assert memory.place({"XDG_STATE_HOME": "/b"}) == Path("/b/folkmoot")
    assert memory.place({}) == Path.home() / ".local/state/folkmoot"
    assert memory.place().is_relative_to(os.environ["FOLKMOOT_STATE"])


def test_lines_that_anybody_adds_make_no_other_evidence(held):
    """A fork shown a hundred times under more signature lines is one folder (attack 43)."""
    accept(held, TRUE, 30)
    forked = History(40, fork=3).note(30)
    folders = set()
    for number in range(5):
        stranger_line = note.SignatureLine(f"stranger-{number}", bytes(4), bytes(64))
        with pytest.raises(errors.ForkError) as caught:
            held.accept(forked + str(stranger_line).encode(), trust, TRUE.prove, now=5)
        folders.add(caught.value.evidence)
    assert len(folders) == 1
