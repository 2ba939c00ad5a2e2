"""The check of a whole log: nothing where nothing is wrong, and each damage once."""

import contextlib
import sqlite3

import pytest

from ledger import checkpoint, damage, errors, fsck, keys, leaf, merkle

ORIGIN = "folkmoot.test/log"


def check(folder, **options):
    options = {"signers": [folder.key.public], **options}
    return fsck.check(folder.place, origin=ORIGIN, published=folder / "checkpoint", **options)


def found(folder, **options):
    report = check(folder, **options)
    assert report.more == 0
    assert not report.sound
    # On PostgreSQL the next row's `prev` tells of a changed hash once more.
    return [(damage.what, damage.seq) for damage in report.damages if folder.files or damage.what != "store"]


def test_the_store_names_a_row_after_another_hash(grown_copy):
    """PostgreSQL holds the hash of the row before in each row: that too is compared."""
    if grown_copy.files:
        pytest.skip("SQLite's rows have no such column")
    grown_copy.flip("hash", 300, 7)
    sentences = [damage.sentence for damage in check(grown_copy).damages if damage.what == "store"]
    assert sentences == ["row 301 is stored after another hash than that of row 300"]


def test_a_sound_log_is_sound(long_folder):
    """Everything is counted, nothing is wrong, and progress ends where the log does."""
    seen = []
    report = check(long_folder, progress=lambda done, total: seen.append((done, total)))
    assert report.sound
    assert (report.entries, report.nodes, report.notes) == (1_300, 5, 1)
    with long_folder.open(read_only=True) as record:
        assert report.bytes == sum(len(entry.leaf) for entry in record.entries())
    assert seen == [(256, 1300), (512, 1300), (768, 1300), (1024, 1300), (1280, 1300), (1300, 1300)]


def test_an_empty_log_is_sound(fresh):
    """Before the first entry, and published at size 0."""
    fresh.open().close()
    assert check(fresh).sound
    with fresh.open() as record:
        record.publish(fresh.key)
    report = check(fresh)
    assert (report.sound, report.entries, report.notes) == (True, 0, 1)


@pytest.mark.parametrize("column", ["leaf", "hash", "eid"])
@pytest.mark.parametrize("seq", [0, 254, 255, 256, 699, 700])
def test_one_changed_byte_is_one_damage(grown_copy, column, seq):
    """In any column, inside a page or at its edge: named, and nothing else is (attack 41)."""
    grown_copy.flip(column, seq, 7)
    assert found(grown_copy) == [("entry", seq)]


def test_a_changed_last_leaf_is_found(grown_copy):
    """No next leaf names the true hash; the stored one is as good."""
    grown_copy.flip("leaf", 1_299, 7)
    assert found(grown_copy) == [("entry", 1_299)]


def test_a_missing_row_is_one_damage(grown_copy):
    """What comes after it is checked as before."""
    grown_copy.tamper("DELETE FROM entry WHERE seq = 300")
    assert found(grown_copy) == [("entry", 300)]


def test_a_lost_tail_is_found(grown_copy):
    """Fewer entries than were signed and published: said of both."""
    grown_copy.tamper("DELETE FROM entry WHERE seq >= 600")
    assert found(grown_copy) == [("note", None), ("published", None), ("node", None)]


def test_damaged_nodes_are_found(grown_copy):
    """Changed, missing and left over: each once, by the last entry under it."""
    grown_copy.flip_node(8, 1)
    assert found(grown_copy) == [("node", 511)]
    grown_copy.tamper("DELETE FROM node WHERE i = 3")
    assert found(grown_copy) == [("node", 511), ("node", 1023)]
    grown_copy.flip_node(8, 1)
    grown_copy.tamper("INSERT INTO node SELECT level, i + 1, hash FROM node WHERE i = 2")
    grown_copy.tamper("INSERT INTO node SELECT 16, i, hash FROM node WHERE i = 0")
    assert found(grown_copy) == [("node", 1023), ("node", None)]


def test_notes_are_held_against_the_tree(grown_copy):
    """Another root, another size, another key, no note at all, more entries than there are."""
    folder = grown_copy
    stranger = keys.SigningKey.generate()
    with folder.open(read_only=True) as record:
        forged = checkpoint.LogCheckpoint(origin=ORIGIN, size=700, root=record.root(699))
        foreign = checkpoint.LogCheckpoint(origin=ORIGIN, size=701, root=record.root(701))
        own = record.note(700)
    folder.tamper("UPDATE checkpoint SET note = ?", checkpoint.sign(forged, folder.key))
    assert found(folder) == [("note", 699)]
    folder.tamper("UPDATE checkpoint SET note = ?", own)
    for size, data in ((701, checkpoint.sign(foreign, stranger)), (702, own), (703, b"x"), (2_000, own)):
        folder.tamper("INSERT INTO checkpoint (size, note) VALUES (?, ?)", size, data)
    assert found(folder) == [("note", 700), ("note", 701), ("note", 702), ("note", None)]
    assert found(folder, signers=[]) == [("note", 701), ("note", 702), ("note", None)]
    assert found(folder, signers=[stranger.public, folder.key.public]) == [("note", 701), ("note", 702), ("note", None)]


def test_the_published_file_is_held_against_the_tree(grown_copy):
    """Damaged, missing, of another root, or of more entries."""
    path, key = grown_copy / "checkpoint", grown_copy.key
    for data, seq in (
        (b"x", None),
        (checkpoint.sign(checkpoint.LogCheckpoint(origin=ORIGIN, size=10, root=b"0" * 32), key), 9),
        (checkpoint.sign(checkpoint.LogCheckpoint(origin=ORIGIN, size=1_301, root=b"0" * 32), key), None),
        (checkpoint.sign(checkpoint.LogCheckpoint(origin="other", size=700, root=b"0" * 32), key), None),
    ):
        path.write_bytes(data)
        assert found(grown_copy) == [("published", seq)]
    path.unlink()
    assert found(grown_copy) == [("published", None)]


def test_it_goes_on_after_the_first_damage(grown_copy):
    """All of several are found, in order."""
    grown_copy.flip("leaf", 3, 9)
    grown_copy.flip("hash", 400, 9)
    grown_copy.flip("eid", 1_200, 9)
    grown_copy.flip_node(8, 2)
    assert found(grown_copy) == [("entry", 3), ("entry", 400), ("node", 767), ("entry", 1_200)]


def test_a_hundred_are_kept_and_the_rest_is_counted(grown_copy):
    """A hopeless log does not fill the memory."""
    grown_copy.tamper("UPDATE entry SET leaf = ? WHERE seq < 150", b"{}")
    report = check(grown_copy)
    assert len(report.damages) == damage.MOST
    assert report.more >= 50


def test_a_rechained_entry_breaks_the_tree_where_it_stands(grown_copy):
    """A leaf exchanged with its hash and eid: the next link, the node and the note tell (attack 43)."""
    folder = grown_copy
    with folder.open(read_only=True) as record:
        [before] = record.entries(99, 100)
    forged = leaf.Entry.chain(100, before.hash.hex(), folder.envelopes[0])
    folder.tamper(
        "UPDATE entry SET hash = ?, eid = ?, leaf = ? WHERE seq = 100",
        merkle.leaf_hash(forged.leaf),
        bytes.fromhex(forged.eid),
        forged.leaf,
    )
    assert found(folder) == [
        ("entry", 101),
        ("node", 255),
        ("note", 699),
        ("published", 699),
    ]


def test_what_is_no_log_is_damage(fresh):
    """Garbage is reported, not raised; what cannot be read at all is raised."""
    if not fresh.files:
        pytest.skip("a server's files are the server's")
    with pytest.raises(errors.LogError):
        check(fresh)
    fresh.place.write_bytes(b"x" * 9_000)
    assert found(fresh) == [("store", None)]


def test_damage_to_the_pages_of_the_file_is_found(fresh):
    """A page of zeros in the middle of the file: the entries in it are named, the others checked (attack 41)."""
    if not fresh.files:
        pytest.skip("a server's files are the server's")
    with fresh.open() as record:
        for envelope in fresh.envelopes:
            record.append([envelope], head=record.head)
        record.publish(fresh.key)
    image = bytearray(fresh.place.read_bytes())
    [(page,)] = fresh.tamper(
        "SELECT pageno FROM dbstat WHERE name = 'entry' AND pagetype = 'leaf' ORDER BY path LIMIT 1"
    )
    image[(page - 1) * 4096 : page * 4096] = bytes(4096)
    fresh.place.write_bytes(image)
    damages = found(fresh)
    named = {seq for what, seq in damages if what == "entry" and seq is not None}
    assert ("store", None) in damages
    assert 0 < len(named) < 12


def planted(folder, script, *values):
    """Run a statement on an SQLite log past its constraints."""
    with contextlib.closing(sqlite3.connect(folder.path / "log.db")) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints=ON")
        connection.execute(script, values)


@pytest.mark.parametrize(
    ("script", "what", "said"),
    [
        ("INSERT INTO entry VALUES (-1, zeroblob(32), zeroblob(32), x'00')", "store", "has the position -1"),
        ("INSERT INTO checkpoint VALUES (-5, x'00')", "note", "damaged"),
        ("DELETE FROM checkpoint", "note", "no note is stored for the published size"),
        ("UPDATE entry SET seq = 1099511627776 WHERE seq = 1299", "store", "there are only 1300 rows"),
    ],
)
def test_what_is_planted_outside_the_log_is_found(grown_copy, script, what, said):
    """Rows before the first and far after the last, notes of no size, and none: found, and soon (attack 41)."""
    if not grown_copy.files:
        pytest.skip("a server's constraints are part of the schema that is checked")
    planted(grown_copy, script)
    assert any(each.what == what and said in each.sentence for each in check(grown_copy).damages)
