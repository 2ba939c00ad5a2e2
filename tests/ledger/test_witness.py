"""The witness against C2SP tlog-witness, without a network."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import checkpoint, cosignature, errors, evidence, keys, memory, merkle, mldsa, note, witness

ORIGIN = "folkmoot.test/log"
KEY = keys.SigningKey.generate()
LOG = note.Verifier(name=ORIGIN, key=KEY.public)
SIGNERS = [
    cosignature.Signer(name="witness.test/w", key=keys.SigningKey.generate()),
    cosignature.Signer(name="witness.test/w", key=mldsa.SigningKey.generate()),
]
TREE = merkle.over([merkle.leaf_hash(b"%d" % n) for n in range(40)])
FORK = merkle.over([merkle.leaf_hash(b"%d" % (n if n < 3 else n + 1)) for n in range(40)])
NOW = 1_700_000_000


def signed(size, tree=TREE, key=KEY, root=None):
    promise = checkpoint.LogCheckpoint(origin=ORIGIN, size=size, root=root or merkle.root(size, tree))
    return checkpoint.sign(promise, key)


def body(old, size, tree=TREE, **changes):
    proof = merkle.consistency_proof(old, size, tree) if 0 < old < size else []
    fields = {"old": old, "proof": tuple(proof), "note": signed(size, tree)}
    return witness.Request(**{**fields, **changes}).to_bytes()


@pytest.fixture
def keeper(tmp_path):
    return witness.Witness(memory.Memory(tmp_path / "memory"), SIGNERS, {ORIGIN: [LOG]})


def found(tmp_path):
    """The evidence that the witness keeps, each as judged by a stranger."""
    return [evidence.Evidence.read(each).judge(LOG) for each in tmp_path.glob("memory/*.evidence/*")]


def test_the_request_of_the_specification():
    """The example body parses, and has one form."""
    data = (
        b"old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
        b"jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
        b"/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\nexample.com/behind-the-sofa\n20852163\n"
        b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        b"\xe2\x80\x94 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/"
        b"Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    )
    request = witness.Request.parse(data)
    assert (request.old, len(request.proof)) == (20852014, 4)
    assert checkpoint.unverified(request.note, "example.com/behind-the-sofa").size == 20852163
    assert request.to_bytes() == data


@given(old=st.integers(0, 2**53), proof=st.lists(st.binary(min_size=32, max_size=32), max_size=63), data=st.binary())
def test_a_request_survives_its_bytes(old, proof, data):
    """parse(bytes(r)) == r, whatever the note."""
    request = witness.Request(old=old, proof=tuple(proof), note=data)
    assert witness.Request.parse(request.to_bytes()) == request


def test_it_cosigns_what_extends(keeper):
    """200 and a line of each of its keys, with its time; then the next checkpoint by its proof, and the same one again."""
    for old, size in ((0, 7), (7, 8), (8, 40), (40, 40)):
        answer = keeper.add_checkpoint(body(old, size), NOW + size)
        assert (answer.status, answer.kind) == (200, witness.TEXT)
        opened = note.open(signed(size) + answer.body, [LOG, *(signer.verifier for signer in SIGNERS)])
        assert list(opened.times.values()) == [0, NOW + size, NOW + size]


def test_its_last_checkpoint_can_be_read(keeper):
    """GET: the note with the log's line and its own, by the hash of the origin; 404 before, and for others."""
    digest = memory.digest(ORIGIN)
    assert keeper.checkpoint(digest).status == 404
    stray = note.split(note.sign(str(checkpoint.unverified(signed(7), ORIGIN)), [SIGNERS[0]], 1))[1][0]
    stray = str(stray._replace(name="somebody")).encode()
    answer = keeper.add_checkpoint(body(0, 7, note=signed(7) + stray), NOW)
    assert keeper.checkpoint(digest).body == signed(7) + answer.body
    assert [keeper.checkpoint(each).status for each in (digest.upper(), "", "0" * 64, ORIGIN)] == [404] * 4


def test_a_stale_size_is_told_the_right_one(keeper, tmp_path):
    """409 with its own size, so that a log can ask with 0 to learn it."""
    keeper.add_checkpoint(body(0, 7), NOW)
    for old, size in ((0, 20), (6, 20), (8, 20), (0, 7), (0, 5)):
        answer = keeper.add_checkpoint(body(old, size), NOW)
        assert answer == witness.Answer(status=409, kind="text/x.tlog.size", body=b"7\n")
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    ("request_of", "status"),
    [
        (lambda: b"", 400),
        (lambda: body(0, 7)[1:], 400),
        (lambda: body(0, 7).replace(b"old 0", b"old 00"), 400),
        (lambda: body(0, 7).replace(b"old 0", b"old -1"), 400),
        (lambda: body(0, 7).replace(b"old 0", b"old \xd9\xa1"), 400),
        (lambda: body(0, 7).replace(b"old 0\n", b"old 0\n\n"), 400),
        (lambda: body(0, 7).replace(b"old 0\n", b"old 0\r\n"), 400),
        (lambda: body(0, 7, proof=(bytes(32),) * 64), 400),
        (lambda: body(0, 7, proof=(bytes(31),)), 400),
        (lambda: body(0, 7).replace(b"\n7\n", b"\n07\n"), 400),
        (lambda: body(0, 7)[:-1], 400),
        (lambda: body(8, 7), 400),
        (lambda: body(0, 7, note=signed(7).replace(b"folkmoot.test", b"other.test")), 404),
        (lambda: body(0, 7, note=signed(7, key=keys.SigningKey.generate())), 403),
        (lambda: body(0, 7, note=signed(7).replace(b"\n7\n", b"\n8\n")), 403),
        (lambda: body(0, 7, note=signed(7) + signed(8).split(b"\n\n")[1]), 403),
        (lambda: body(0, 7, proof=(bytes(32),)), 422),
        (lambda: body(0, 0, note=signed(0, root=bytes(32))), 422),
    ],
)
def test_what_it_refuses_at_first(keeper, request_of, status, tmp_path):
    """Malformed, unknown, unsigned, forged, unproven: the specification's code, and nothing is remembered (attack 44)."""
    answer = keeper.add_checkpoint(request_of(), NOW)
    assert (answer.status, answer.kind) == (status, witness.TEXT)
    assert "\u2014 witness" not in answer.body.decode()
    assert memory.Memory(tmp_path / "memory").last(ORIGIN) is None
    assert keeper.add_checkpoint(body(0, 0), NOW).status == 200
    assert keeper.add_checkpoint(body(0, 7), NOW).status == 200


@pytest.mark.parametrize(
    ("request_of", "status", "convicts"),
    [
        (lambda: body(7, 7, FORK), 422, [True]),
        (lambda: body(0, 7, FORK), 409, [True]),
        (lambda: body(7, 40, FORK), 422, [True]),
        (lambda: body(7, 40, proof=()), 422, [False]),
        (lambda: body(7, 40, proof=(bytes(32),) * 6), 422, [False]),
        (lambda: body(7, 7, proof=(bytes(32),)), 422, [False]),
    ],
)
def test_a_log_that_breaks_its_promise(keeper, tmp_path, request_of, status, convicts):
    """Rewritten, split view, another root at the same size: refused, and the evidence is kept (attacks 43, 44)."""
    keeper.add_checkpoint(body(0, 7), NOW)
    before = keeper.checkpoint(memory.digest(ORIGIN))
    assert keeper.add_checkpoint(request_of(), NOW).status == status
    assert [each.convicts for each in found(tmp_path)] == convicts
    assert keeper.checkpoint(memory.digest(ORIGIN)) == before
    assert keeper.add_checkpoint(body(7, 40), NOW).status == 200


def test_a_rollback_gets_no_cosignature(keeper):
    """Fewer entries than it cosigned: 400 or 409, whatever the old size (attack 43)."""
    keeper.add_checkpoint(body(0, 30), NOW)
    statuses = [keeper.add_checkpoint(body(old, 20), NOW).status for old in (0, 10, 20, 30)]
    assert statuses == [409, 409, 409, 400]


def test_many_lines_of_a_log_do_not_damage_the_memory(keeper):
    """A note may carry 64 lines of the log; what is remembered stays readable."""
    line = signed(7).split(b"\n\n")[1]
    assert keeper.add_checkpoint(body(0, 7, note=signed(7) + line * 63), NOW).status == 200
    assert keeper.add_checkpoint(body(7, 40), NOW).status == 200


def test_it_answers_only_what_is_on_disk(keeper, monkeypatch):
    """Where the disk refuses nothing is cosigned, and the checkpoint before stays (attack 40)."""
    keeper.add_checkpoint(body(0, 7), NOW)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", refuse)
        with pytest.raises(errors.LogError):
            keeper.add_checkpoint(body(7, 40), NOW)
    assert keeper.add_checkpoint(body(7, 20, FORK), NOW).status == 422
    assert keeper.add_checkpoint(body(7, 20), NOW).status == 200


def test_killed_between_the_check_and_the_answer(tmp_path):
    """Kill -9 right before the rename, and right after: a cosignature never leaves before its checkpoint is on disk."""
    script = """
        import os, signal, sys
        from pathlib import Path
        from ledger import cosignature, keys, memory, note, vkey, witness
        folder, when, request, log = sys.argv[1:]
        signer = cosignature.Signer(name="witness.test/w", key=keys.SigningKey.generate())
        keeper = witness.Witness(memory.Memory(Path(folder)), [signer], {vkey.parse(log).name: [vkey.parse(log)]})
        replace = os.replace
        def die(path, target):
            if when == "after":
                replace(path, target)
            os.kill(os.getpid(), signal.SIGKILL)
        os.replace = die
        print(keeper.add_checkpoint(bytes.fromhex(request), 5).status, flush=True)
    """
    keeper = witness.Witness(memory.Memory(tmp_path / "memory"), SIGNERS, {ORIGIN: [LOG]})
    keeper.add_checkpoint(body(0, 7), NOW)
    for when, expected in (("before", 7), ("after", 40)):
        arguments = [str(tmp_path / "memory"), when, body(7, 40).hex(), note.vkey(LOG)]
        command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
        ran = subprocess.run(command, capture_output=True, check=False, cwd=Path(__file__).parents[2])
        assert (ran.returncode, ran.stdout) == (-9, b""), ran.stderr
        assert memory.Memory(tmp_path / "memory").last(ORIGIN).checkpoint.size == expected
    assert keeper.add_checkpoint(body(7, 40, FORK), NOW).status == 409
    assert keeper.add_checkpoint(body(40, 40), NOW).status == 200
