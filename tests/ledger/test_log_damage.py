"""Every way the bytes of a log can go wrong, and what notices."""

import contextlib
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import dsse, errors, leaf, merkle


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.sampled_from(["leaf", "hash", "eid"]), st.integers(0, 7), st.integers(0, 2_000), st.integers(1, 255))
def test_any_changed_byte_of_a_row_is_found(folder, column, seq, position, change):
    """One byte changed in any column: reading names the entry, or the checkpoint refuses the log (attack 41)."""
    folder.flip(column, seq, position, change)
    with pytest.raises((errors.CorruptError, errors.RollbackError)) as caught:
        folder.read()
    assert caught.type is errors.RollbackError or caught.value.seq == seq
    folder.flip(column, seq, position, change)


@pytest.mark.parametrize("seq", range(8))
def test_a_dropped_row_is_found(folder, seq):
    """A missing row in the middle is named, one at the end is less than the checkpoint promises (attack 41)."""
    folder.tamper("DELETE FROM entry WHERE seq = ?", seq)
    expected = errors.RollbackError if seq == 7 else errors.CorruptError
    with pytest.raises(expected) as caught:
        folder.read()
    assert getattr(caught.value, "seq", 7) == seq


@pytest.mark.parametrize(("one", "two"), [(0, 1), (2, 6), (6, 7)])
def test_swapped_rows_are_found(folder, one, two):
    """Two rows in each other's place: the root is another, and the first entry out of place is named (attack 43)."""
    for old, new in ((one, 100), (two, one), (100, two)):
        folder.tamper("UPDATE entry SET seq = ? WHERE seq = ?", new, old)
    with pytest.raises(errors.CorruptError) as caught:
        folder.read()
    assert caught.value.seq == one


@pytest.mark.parametrize(("one", "two"), [(0, 1), (2, 6), (6, 7)])
def test_swapped_rows_are_found_without_a_checkpoint(folder, one, two):
    """The chain alone names the first entry out of place."""
    folder.unpublish()
    test_swapped_rows = ((one, 100), (two, one), (100, two))
    for old, new in test_swapped_rows:
        folder.tamper("UPDATE entry SET seq = ? WHERE seq = ?", new, old)
    with pytest.raises(errors.CorruptError) as caught:
        folder.read()
    assert caught.value.seq == one


@pytest.mark.parametrize("column", ["leaf", "hash", "eid"])
def test_changed_bytes_are_found_without_a_checkpoint(folder, column):
    """Each column is checked against the others at its own entry."""
    folder.unpublish()
    folder.flip(column, 4, 9, 1)
    with pytest.raises(errors.CorruptError) as caught:
        folder.read()
    assert caught.value.seq == 4


def test_a_rechained_rewrite_is_refused(folder):
    """An operator who drops an entry and chains anew passes every check but the old checkpoint's (attack 43)."""
    note = (folder / "checkpoint").read_bytes()
    folder.put_back({"entry": [], "node": [], "checkpoint": []})
    (folder / "checkpoint").unlink()
    with folder.open() as record:
        record.append([*folder.envelopes[:3], *folder.envelopes[4:9]], head=record.head)
    assert len(folder.read()) == 8
    (folder / "checkpoint").write_bytes(note)
    with pytest.raises(errors.RollbackError, match="root"):
        folder.open()


def test_a_leaf_that_is_none_is_found(folder):
    """Bytes that are no leaf, under their right hash, are named and not misread."""
    folder.unpublish()
    folder.tamper("UPDATE entry SET leaf = ?, hash = ? WHERE seq = 4", b"{}", merkle.leaf_hash(b"{}"))
    with pytest.raises(errors.CorruptError) as caught:
        folder.read()
    assert caught.value.seq == 4


@pytest.mark.parametrize("seq", [255, 256])
def test_a_row_dropped_at_the_edge_of_a_page_is_found(fresh, seq):
    """Rows are read in pages; none is missed between two of them (attack 41)."""
    with fresh.open() as record:
        record.append([dsse.sign(b"%d" % n, fresh.key) for n in range(300)], head=record.head)
    fresh.tamper("DELETE FROM entry WHERE seq = ?", seq)
    with pytest.raises(errors.CorruptError) as caught:
        fresh.read()
    assert caught.value.seq == seq


def test_a_consistent_forgery_of_an_inner_row_is_found(folder):
    """A leaf exchanged together with its hash and eid breaks the chain of the next (attack 43)."""
    folder.unpublish()
    with folder.open() as record:
        prev = list(record.entries())[3].hash.hex()
    forged = leaf.Entry.chain(4, prev, folder.envelopes[11])
    columns = (forged.hash, bytes.fromhex(forged.eid), forged.leaf)
    folder.tamper("UPDATE entry SET hash = ?, eid = ?, leaf = ? WHERE seq = 4", *columns)
    with pytest.raises(errors.CorruptError) as caught:
        folder.read()
    assert caught.value.seq == 5
    with folder.open() as record, pytest.raises(errors.CorruptError):
        list(record.entries(5))


def test_an_older_copy_is_refused(fresh):
    """The database put back to an earlier state, the checkpoint left: refused, also to a reader (attack 41)."""
    with fresh.open() as record:
        record.append(fresh.envelopes[:3], head=record.head)
    older = fresh.copy()
    with fresh.open() as record:
        record.append(fresh.envelopes[3:6], head=record.head)
        record.publish(fresh.key)
    fresh.put_back(older)
    for read_only in (False, True):
        with pytest.raises(errors.RollbackError, match="3 entries, expected the 6"):
            fresh.open(read_only=read_only)


def test_a_lost_database_is_refused(folder):
    """A checkpoint without its database is not the start of a new log (attack 41)."""
    folder.put_back({"entry": [], "node": [], "checkpoint": []})
    with pytest.raises(errors.RollbackError, match="0 entries, expected the 8"):
        folder.open()


def test_a_tail_cut_without_the_file_is_refused(folder):
    """Without the checkpoint file the table's own last note is still held against the rows (attack 41)."""
    (folder / "checkpoint").unlink()
    folder.tamper("DELETE FROM entry WHERE seq = 7")
    with pytest.raises(errors.RollbackError):
        folder.open()


@pytest.mark.parametrize(
    ("script", "values", "said"),
    [
        ("UPDATE checkpoint SET note = ? WHERE size = 8", [b"\0"], "damaged"),
        ("UPDATE checkpoint SET size = 6 WHERE size = 8", [], "names 8"),
    ],
)
def test_a_damaged_note_is_refused(folder, script, values, said):
    """The stored notes are held to their form and size."""
    folder.tamper(script, *values)
    with pytest.raises(errors.CorruptError, match=said):
        folder.open()


def test_a_log_of_another_origin_is_refused(folder):
    """A checkpoint of another log is not this log's."""
    with pytest.raises(errors.CorruptError, match="another log"):
        folder.open(origin="folkmoot.test/other")


def test_a_checkpoint_that_cannot_be_read_is_refused(folder):
    """What stands in the checkpoint's place and is no file is an error, not an absence."""
    (folder / "checkpoint").unlink()
    (folder / "checkpoint").mkdir()
    with pytest.raises(errors.LogError, match="cannot be read"):
        folder.open()


@pytest.mark.parametrize(("column", "seq"), [("hash", 2), ("leaf", 6), ("hash", 6), ("eid", 6)])
def test_a_damaged_log_is_not_signed(fresh, column, seq):
    """A bit that flips between hashing and signing is found before the signature: before or after the last checkpoint."""
    with fresh.open() as record:
        record.append(fresh.envelopes[:5], head=record.head)
        record.publish(fresh.key)
        record.append(fresh.envelopes[5:8], head=record.head)
        published = (fresh / "checkpoint").read_bytes()
        fresh.flip(column, seq, 7, 1)
        with pytest.raises(errors.CorruptError):
            record.publish(fresh.key)
        assert [size for size, _ in record.notes()] == [5]
    assert (fresh / "checkpoint").read_bytes() == published


@pytest.mark.parametrize("column", ["leaf", "hash"])
def test_nothing_is_chained_to_a_damaged_head(folder, column):
    """A wrong hash must not enter the chain for good."""
    with folder.open() as record:
        head = record.head
        folder.flip(column, 7, 5, 1)
        with pytest.raises(errors.CorruptError):
            _ = record.head
        with pytest.raises(errors.CorruptError):
            record.append([folder.envelopes[9]], head=head)
        assert record.size == 8


def test_a_store_rolled_back_under_an_open_log_is_not_signed(fresh):
    """As a standby promoted without its last commits: what was published stands, and no second history is signed (41, 42)."""
    with fresh.open() as record:
        record.append(fresh.envelopes[:3], head=record.head)
        record.publish(fresh.key)
        older = fresh.copy()
        record.append(fresh.envelopes[3:6], head=record.head)
        published = record.publish(fresh.key)
        fresh.put_back(older)
        for first, last in ((6, 8), (8, 10)):
            record.append(fresh.envelopes[first:last], head=record.head)
            with pytest.raises(errors.RollbackError):
                record.publish(fresh.key)
        assert [size for size, _ in record.notes()] == [3]
    assert (fresh / "checkpoint").read_bytes() == published


def test_a_row_that_claims_an_eid_shadows_no_statement(folder):
    """A retry believes no row, but the statement in it: before the first entry, or under another's eid (attack 41)."""
    if not folder.files:
        pytest.skip("a server's constraints are part of the schema that is checked")
    wanted = bytes.fromhex(folder.envelopes[9].eid)
    image = (folder / "log.db").read_bytes()
    for script in (
        "INSERT INTO entry VALUES (-1, zeroblob(32), ?, x'00')",
        "UPDATE entry SET eid = ? WHERE seq = 3",
    ):
        with contextlib.closing(sqlite3.connect(folder.path / "log.db")) as connection, connection:
            connection.execute("PRAGMA ignore_check_constraints=ON")
            connection.execute(script, (wanted,))
        with folder.open() as record, pytest.raises(errors.CorruptError):
            record.append([folder.envelopes[9]], head=record.head)
        (folder / "log.db").write_bytes(image)
