"""The log under kill -9 and bit rot."""

import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from ledger import dsse, errors, keys, log

ORIGIN = "folkmoot.test/log"
KEY = keys.SigningKey.generate()

APPEND_FOREVER = """
import itertools, pathlib, sys
from ledger import dsse, keys, log
folder, first = pathlib.Path(sys.argv[1]), int(sys.argv[2])
key = keys.SigningKey.load(folder / "key")
with log.Log.open(folder / "log.db", origin="folkmoot.test/log") as record:
    for n in itertools.count(first):
        batch = [dsse.sign(b"%d %d" % (n, part), key) for part in range(3)]
        seqs = record.append(batch, head=record.head)
        print(n, *seqs, flush=True)
        if n % 5 == 0:
            record.publish(key)
"""


def acknowledged(folder, first, seconds):
    """What a process acknowledged (batch -> positions) before it was killed."""
    command = [sys.executable, "-c", APPEND_FOREVER, str(folder), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline()]
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    words = [line.split() for line in lines if line.endswith("\n")]
    return {int(batch): [int(seq) for seq in seqs] for batch, *seqs in words}


def test_a_kill_loses_and_doubles_nothing(tmp_path):
    """Killed at five random moments: each acknowledged entry is there once, the retried batch is not doubled (37, 38)."""
    KEY.save(tmp_path / "key")
    moments = random.Random(5)
    acks = {}
    for _ in range(5):
        # Begin with the batch after the last acknowledged one: its outcome is unknown.
        fresh = acknowledged(tmp_path, max(acks, default=-1) + 1, moments.uniform(0.0, 0.15))
        assert fresh
        acks |= fresh
    with log.Log.open(tmp_path / "log.db", origin=ORIGIN) as record:
        payloads = [entry.envelope.payload for entry in record.entries()]
    assert len(set(payloads)) == len(payloads)
    assert payloads == [b"%d %d" % divmod(seq, 3) for seq in range(len(payloads))]
    assert len(payloads) >= 3 * len(acks)
    for batch, seqs in acks.items():
        assert [payloads[seq] for seq in seqs] == [b"%d %d" % (batch, part) for part in range(3)]


@pytest.fixture
def images(tmp_path):
    """Two folders of one published log: as a close leaves it, and as a crash does, with all in the write-ahead log.

    Beside the second lies a third, of the same log after one more entry, acknowledged but not yet published.
    """
    live, crashed, later = tmp_path / "live", tmp_path / "crashed", tmp_path / "later"
    live.mkdir()
    with log.Log.open(live / "log.db", origin=ORIGIN) as record:
        for n in range(6):
            record.append([dsse.sign(b"%d" % n, KEY)], head=record.head)
        record.publish(KEY)
        shutil.copytree(live, crashed, ignore=shutil.ignore_patterns("*-shm"))
        record.append([dsse.sign(b"6", KEY)], head=record.head)
        shutil.copytree(live, later, ignore=shutil.ignore_patterns("*-shm"))
    closed = tmp_path / "closed"
    shutil.copytree(crashed, closed)
    log.Log.open(closed / "log.db", origin=ORIGIN).close()
    return {"log.db": closed, "log.db-wal": crashed, "later": later}


class Damaged:
    """A folder that takes the place of an image, one file of which is spoiled at a time."""

    def __init__(self, image, path):
        self.image, self.path = image, path

    def read(self, name, data):
        """The payloads of the log whose file `name` holds `data`, or None where it is refused."""
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(self.image, self.path)
        (self.path / name).write_bytes(data)
        try:
            with log.Log.open(self.path / "log.db", origin=ORIGIN) as record:
                return [entry.envelope.payload for entry in record.entries()]
        except errors.LogError:
            return None


def flip(images, damaged, name, positions):
    """How many of the flipped bits are refused; the others harm nothing."""
    sound, complete = (images[name] / name).read_bytes(), [b"%d" % n for n in range(6)]
    refused = 0
    for position in positions(len(sound)):
        spoiled = bytearray(sound)
        spoiled[position] ^= 1 << position % 8
        found = damaged.read(name, bytes(spoiled))
        assert found in (None, complete), position
        refused += found is None
    return refused


@pytest.mark.parametrize("name", ["log.db", "log.db-wal"])
def test_a_flipped_bit_never_shortens_the_log(images, tmp_path, name):
    """One bit flipped anywhere in the database or its write-ahead log: refused, or harmless and complete (attack 41)."""
    damaged = Damaged(images[name], tmp_path / "damaged")
    assert flip(images, damaged, name, lambda size: random.Random(name).sample(range(size), 60))


def around(image, found, before, after):
    """The positions around an occurrence of some bytes in the database."""
    at = (image / "log.db").read_bytes().index(found)
    return range(at - before, at + after)


@pytest.mark.parametrize(
    ("found", "before", "after"), [(b'{"dsse":', 100, 0), (b"CREATE TABLE entry", 12, 40)], ids=["row", "schema"]
)
def test_a_flipped_bit_in_a_header_never_shortens_the_log(images, tmp_path, found, before, after):
    """Where a row says of which types it is, and where the schema is spelt: other types, no text at all (attack 41)."""
    damaged = Damaged(images["log.db"], tmp_path / "damaged")
    places = around(images["log.db"], found, before, after)
    sound, complete = (images["log.db"] / "log.db").read_bytes(), [b"%d" % n for n in range(6)]
    refused = 0
    for position in places:
        for bit in (0, 1, 2, 3, 7):
            spoiled = bytearray(sound)
            spoiled[position] ^= 1 << bit
            read = damaged.read("log.db", bytes(spoiled))
            assert read in (None, complete), (position, bit)
            refused += read is None
    assert refused > len(places)


@pytest.mark.chaos
@pytest.mark.parametrize("name", ["log.db", "log.db-wal"])
def test_two_thousand_flipped_bits_never_shorten_the_log(images, tmp_path, name):
    """The same at 2,000 positions of each file (attack 41)."""
    damaged = Damaged(images[name], tmp_path / "damaged")
    refused = flip(images, damaged, name, lambda size: random.Random(name).sample(range(size), 2_000))
    print(f"{name}: {refused} of 2,000 refused, the others complete")


def tear(images, damaged, lengths):
    """How the log ends when its last transaction is cut, or overwritten with zeros or ones, from each offset on."""
    sound = (images["later"] / "log.db-wal").read_bytes()
    before = (images["log.db-wal"] / "log.db-wal").stat().st_size
    assert sound[:before] == (images["log.db-wal"] / "log.db-wal").read_bytes()
    ends = {6: 0, 7: 0}
    for length in lengths(before, len(sound)):
        rest = len(sound) - length
        for tail in (b"", bytes(rest), b"\xff" * rest):
            found = damaged.read("log.db-wal", sound[:length] + tail)
            assert found in ([b"%d" % n for n in range(6)], [b"%d" % n for n in range(7)]), (length, tail[:1])
            assert len(found) == 7 or length < len(sound)
            ends[len(found)] += 1
    return ends


def test_a_torn_last_transaction_leaves_the_state_before_it(images, tmp_path):
    """Cut, zeroed or filled with ones from an offset on: the published log is whole, the last entry is there or not (41)."""
    ends = tear(
        images, Damaged(images["later"], tmp_path / "damaged"), lambda first, last: [*range(first, last, 487), last]
    )
    assert ends[6] > 20
    assert ends[7] >= 3


@pytest.mark.chaos
def test_a_last_transaction_torn_at_each_byte_leaves_the_state_before_it(images, tmp_path):
    """The same at every byte offset (attack 41)."""
    ends = tear(images, Damaged(images["later"], tmp_path / "damaged"), lambda first, last: range(first, last + 1))
    print(f"entries after the tear: {ends}")


def test_a_torn_write_ahead_log_never_shortens_the_published_log(images, tmp_path):
    """The write-ahead log cut at any offset: refused, or complete (attack 41)."""
    damaged = Damaged(images["log.db-wal"], tmp_path / "damaged")
    sound = (images["log.db-wal"] / "log.db-wal").read_bytes()
    found = [damaged.read("log.db-wal", sound[:length]) for length in [0, 16, *range(32, len(sound) + 1, 2_060)]]
    assert None in found
    assert all(payloads in (None, [b"%d" % n for n in range(6)]) for payloads in found)


def test_an_older_copy_of_the_database_is_refused(images, tmp_path):
    """The database and its write-ahead log rolled back to a copy from before the last checkpoint (attack 41)."""
    folder = tmp_path / "rolled"
    shutil.copytree(images["log.db"], folder)
    old = tmp_path / "old"
    old.mkdir()
    with log.Log.open(old / "log.db", origin=ORIGIN) as record:
        record.append([dsse.sign(b"0", KEY)], head=record.head)
        record.publish(KEY)
    shutil.copy(old / "log.db", folder / "log.db")
    with pytest.raises(errors.RollbackError):
        log.Log.open(folder / "log.db", origin=ORIGIN)
