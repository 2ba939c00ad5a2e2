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
    """Two folders of one published log: as a close leaves it, and as a crash does, with all in the write-ahead log."""
    live, crashed = tmp_path / "live", tmp_path / "crashed"
    live.mkdir()
    with log.Log.open(live / "log.db", origin=ORIGIN) as record:
        for n in range(6):
            record.append([dsse.sign(b"%d" % n, KEY)], head=record.head)
        record.publish(KEY)
        shutil.copytree(live, crashed, ignore=shutil.ignore_patterns("*-shm"))
    return {"log.db": live, "log.db-wal": crashed}


@pytest.mark.parametrize("name", ["log.db", "log.db-wal"])
def test_a_flipped_bit_never_shortens_the_log(images, tmp_path, name):
    """One bit flipped anywhere in the database or its write-ahead log: refused, or harmless and complete (attack 41)."""
    sound = (images[name] / name).read_bytes()
    refused = 0
    for position in random.Random(name).sample(range(len(sound)), 60):
        folder = tmp_path / str(position)
        shutil.copytree(images[name], folder)
        spoiled = bytearray(sound)
        spoiled[position] ^= 1 << position % 8
        (folder / name).write_bytes(spoiled)
        try:
            with log.Log.open(folder / "log.db", origin=ORIGIN) as record:
                payloads = [entry.envelope.payload for entry in record.entries()]
        except errors.LogError:
            refused += 1
        else:
            assert payloads == [b"%d" % n for n in range(6)]
    assert refused


def test_a_torn_write_ahead_log_never_shortens_the_published_log(images, tmp_path):
    """The write-ahead log cut at any offset: refused, or complete (attack 41)."""
    image = images["log.db-wal"]
    sound = (image / "log.db-wal").read_bytes()
    outcomes = set()
    for length in [0, 16, *range(32, len(sound) + 1, 2_060)]:
        folder = tmp_path / str(length)
        shutil.copytree(image, folder)
        (folder / "log.db-wal").write_bytes(sound[:length])
        try:
            with log.Log.open(folder / "log.db", origin=ORIGIN) as record:
                assert record.size == 6
                assert len(list(record.entries())) == 6
                outcomes.add("complete")
        except errors.LogError:
            outcomes.add("refused")
    assert "refused" in outcomes
