"""The log: appending, reading, publishing."""

import hashlib
import json

import pytest

from ledger import checkpoint, dsse, errors, keys, merkle, note


def test_an_empty_log(fresh):
    """Size 0, the head of zeros, the root of the empty tree, nothing to read."""
    with fresh.open() as record:
        assert (record.size, record.head, record.root()) == (0, "0" * 64, merkle.EMPTY)
        assert list(record.entries()) == []
        assert record.notes() == []
        assert record.append([], head="whatever") == []


def test_what_is_appended_is_read(folder):
    """Entries come back in order with their positions, chained, and the tree is that of their leaves."""
    with folder.open() as record:
        entries = list(record.entries())
        assert [entry.envelope for entry in entries] == folder.envelopes[:8]
        assert [entry.seq for entry in entries] == list(range(8))
        assert [entry.eid for entry in entries] == [envelope.eid for envelope in folder.envelopes[:8]]
        assert record.head == entries[-1].hash.hex()
        assert record.root() == merkle.root(8, merkle.over([merkle.leaf_hash(entry.leaf) for entry in entries]))
        prevs = [json.loads(entry.leaf)["prev"] for entry in entries]
        assert prevs == ["0" * 64, *(entry.hash.hex() for entry in entries[:-1])]


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (3, None), (3, 5), (7, 100), (8, None), (100, None), (5, 5)])
def test_a_slice_is_that_of_a_list(folder, start, stop):
    """entries(start, stop) is entries()[start:stop]."""
    with folder.open() as record:
        assert list(record.entries(start, stop)) == list(record.entries())[start:stop]


def test_reading_crosses_pages(fresh):
    """More entries than one page hold come complete, also while the log grows."""
    many = [dsse.sign(b"%d" % n, fresh.key) for n in range(600)]
    with fresh.open() as record:
        record.append(many, head=record.head)
        seen = []
        for entry in record.entries():
            if entry.seq == 300:
                record.append([fresh.envelopes[0]], head=record.head)
            seen.append(entry.envelope)
        assert seen == many
        assert record.size == 601


def test_append_is_compare_and_append(folder):
    """With an old head nothing is appended: of two who decided on the same head, one must read again (attack 42)."""
    with folder.open() as one, folder.open() as two:
        head = one.head
        assert two.append([folder.envelopes[8]], head=head) == [8]
        with pytest.raises(errors.ConflictError):
            one.append([folder.envelopes[9]], head=head)
        assert one.size == 9
        assert one.append([folder.envelopes[9]], head=one.head) == [9]


def test_a_retry_is_answered_and_not_appended(folder):
    """Known envelopes keep their positions, even when the head has moved since (attack 19)."""
    with folder.open() as record:
        head = record.head
        batch = [folder.envelopes[9], folder.envelopes[8]]
        assert record.append(batch, head=head) == [8, 9]
        record.append([folder.envelopes[10]], head=record.head)
        assert record.append(batch, head=head) == [8, 9]
        assert record.append([*batch, *batch], head="nonsense") == [8, 9, 8, 9]
        assert record.size == 11


def test_a_partly_known_batch(folder):
    """What is known keeps its place, the rest is appended once, and only under the current head."""
    with folder.open() as record:
        batch = [folder.envelopes[8], folder.envelopes[2], folder.envelopes[8], folder.envelopes[9]]
        with pytest.raises(errors.ConflictError):
            record.append(batch, head="0" * 64)
        assert record.size == 8
        assert record.append(batch, head=record.head) == [8, 2, 8, 9]
        assert record.size == 10
        assert len(list(record.entries())) == 10


def test_another_signature_makes_no_other_statement(folder):
    """The eid leaves the signature out, so a re-signed payload is a retry."""
    with folder.open() as record:
        again = dsse.sign(folder.envelopes[3].payload, keys.SigningKey.generate())
        assert record.append([again], head=record.head) == [3]


def test_a_checkpoint_is_signed_stored_and_written(folder):
    """The file holds the newest note, the table all of them, each for the root at its size."""
    with folder.open() as record:
        hashes = [entry.hash for entry in record.entries()]
        assert [size for size, _ in record.notes()] == [5, 8]
        for size, stored in record.notes():
            signed = checkpoint.verify(stored, "folkmoot.test/log", folder.key.public)
            assert (signed.size, signed.root) == (size, merkle.root(size, merkle.over(hashes)))
        assert (folder / "checkpoint").read_bytes() == record.notes()[-1][1]
    assert sorted(path.name for path in folder.path.iterdir()) == ["checkpoint", *folder.files]


def test_publishing_again_changes_nothing(folder):
    """A size that was signed keeps its note; the file comes back if a crash kept it from being written."""
    with folder.open() as record:
        notes = record.notes()
        (folder / "checkpoint").unlink()
        assert record.publish(folder.key) == notes[-1][1]
        assert record.notes() == notes
    assert (folder / "checkpoint").read_bytes() == notes[-1][1]


def test_one_size_has_one_signer(folder):
    """Another key cannot sign a size again."""
    with folder.open() as record, pytest.raises(errors.SignatureError):
        record.publish(keys.SigningKey.generate())


def test_the_file_never_goes_back(folder):
    """A publisher of a smaller size leaves the newest checkpoint in the file."""
    with folder.open() as record:
        record._release()
        newest = record.notes()[-1][1]
    (folder / "checkpoint").write_bytes(b"older")
    folder.tamper("SELECT 1")
    with pytest.raises(errors.CorruptError):
        folder.open()
    (folder / "checkpoint").unlink()
    with folder.open() as record:
        record._release()
    assert (folder / "checkpoint").read_bytes() == newest


def test_a_reader_writes_nothing(folder):
    """Read-only: the same entries, no write, no new file, not even the checkpoint."""
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    with folder.open(read_only=True) as record:
        (folder / "checkpoint").unlink()
        assert len(list(record.entries())) == 8
        with pytest.raises(errors.LogError):
            record.append([folder.envelopes[9]], head=record.head)
        with pytest.raises(errors.LogError):
            record.publish(folder.key)
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == {
        name: before[name] for name in folder.files
    }


def test_a_reader_sees_a_log_in_use(folder):
    """A reader beside the writer sees what the writer's write-ahead log holds."""
    with folder.open() as writer:
        writer.append([folder.envelopes[8]], head=writer.head)
        assert len(folder.read(read_only=True)) == 9


def test_a_reader_does_not_create(fresh):
    """A log that is not there is an error to a reader, not an empty log."""
    with pytest.raises(errors.LogError):
        fresh.open(read_only=True)
    assert list(fresh.path.iterdir()) == []


def test_a_closed_log_is_a_log_error(folder):
    """Use after close comes typed."""
    record = folder.open()
    record.close()
    with pytest.raises(errors.LogError):
        _ = record.size


def test_a_file_system_that_refuses_is_a_log_error(folder):
    """The checkpoint cannot be written: typed, and the next try succeeds (attack 40)."""
    with folder.open() as record:
        record.append([folder.envelopes[8]], head=record.head)
        (folder / "checkpoint.tmp").mkdir()
        with pytest.raises(errors.LogError, match="cannot be written"):
            record.publish(folder.key)
        (folder / "checkpoint.tmp").rmdir()
        signed = record.publish(folder.key)
    assert (folder / "checkpoint").read_bytes() == signed


def cosigned(stored, *names, seed=b"1"):
    """A note with further signature lines, whose bytes nobody verifies here."""
    lines = [str(note.SignatureLine(name, hashlib.sha256(name.encode()).digest()[:4], seed * 72)) for name in names]
    return stored + "".join(lines).encode()


def test_notes_are_found_by_size(folder):
    """note(size) and last_note() are those of notes()."""
    with folder.open() as record:
        notes = dict(record.notes())
        assert [record.note(5), record.note(8), record.note(6)] == [notes[5], notes[8], None]
        assert record.last_note() == notes[8]


def test_an_endorsement_adds_lines_and_nothing_else(folder):
    """Witnesses' lines are stored after the log's own and released; a second time nothing changes."""
    with folder.open() as record:
        own = record.last_note()
        assert record.endorse(cosigned(own, "one")) == cosigned(own, "one")
        assert record.endorse(cosigned(own, "two", "one")) == cosigned(own, "one", "two")
        assert record.last_note() == (folder / "checkpoint").read_bytes() == cosigned(own, "one", "two")
        assert record.endorse(own) == record.publish(folder.key) == record.last_note()
        assert checkpoint.verify(record.last_note(), "folkmoot.test/log", folder.key.public).size == 8
    assert len(folder.read()) == 8


def test_an_older_note_is_endorsed_without_setting_the_file_back(folder):
    """The lines go to the note of their size; the file keeps the newest."""
    with folder.open() as record:
        newest = record.last_note()
        merged = record.endorse(cosigned(record.note(5), "one"))
        assert record.note(5) == merged
        assert (folder / "checkpoint").read_bytes() == record.last_note() == newest


def test_a_key_signs_once(folder):
    """A second line of a key is left out, so nobody spoils the note with a bad line in the log's own name."""
    with folder.open() as record:
        own = record.last_note()
        _, [line] = note.split(own)
        forged = own + str(note.SignatureLine(line.name, line.key_id, b"0" * 64)).encode()
        assert record.endorse(forged) == own
        record.endorse(cosigned(own, "one"))
        assert record.endorse(cosigned(own, "one", seed=b"2")) == cosigned(own, "one")


def test_only_the_signed_text_is_endorsed(folder):
    """Another root, size or origin, and more lines than a reader takes: refused, nothing changes."""
    with folder.open() as record:
        own, before = record.last_note(), record.notes()
        fork = checkpoint.LogCheckpoint(origin="folkmoot.test/log", size=8, root=b"0" * 32)
        never = checkpoint.LogCheckpoint(origin="folkmoot.test/log", size=6, root=b"0" * 32)
        other = checkpoint.LogCheckpoint(origin="folkmoot.test/other", size=8, root=b"0" * 32)
        offered = [checkpoint.sign(said, folder.key) for said in (fork, never, other)]
        for endorsed in [*offered, b"nonsense", cosigned(own, *(f"w{n}" for n in range(note.MAX_SIGNATURES)))]:
            with pytest.raises(errors.StatementError):
                record.endorse(endorsed)
        assert record.notes() == before
        most = cosigned(own, *(f"w{n}" for n in range(note.MAX_SIGNATURES - 1)))
        assert record.endorse(most) == most
        with pytest.raises(errors.StatementError, match="at most"):
            record.endorse(cosigned(own, "another"))
        assert record.last_note() == most
    with folder.open(read_only=True) as record, pytest.raises(errors.LogError, match="read-only"):
        record.endorse(own)
