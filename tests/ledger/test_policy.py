"""Trust policies against C2SP tlog-policy."""

import hashlib

import pytest

from ledger import checkpoint, cosignature, errors, keys, mldsa, note, policy

ORIGIN = "folkmoot.test/log"
# Keys of fixed seeds: they stand in names of tests, which have to be the same in each process that runs them.
LOG = keys.SigningKey.from_seed(bytes(32))
NAMES = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
SIGNERS = {
    name: cosignature.Signer(name=f"witness.test/{name}", key=keys.SigningKey.from_seed(name.encode().ljust(32)))
    for name in NAMES
}
QUANTUM = cosignature.Signer(name="witness.test/q", key=mldsa.SigningKey.generate())
PROMISE = checkpoint.LogCheckpoint(origin=ORIGIN, size=7, root=hashlib.sha256(b"root").digest())
LOG_LINE = f"log {note.vkey(note.Verifier(name=ORIGIN, key=LOG.public))}\n"


def witness_line(name, url=""):
    return f"witness {name} {note.vkey(SIGNERS[name].verifier)} {url}\n"


WITNESSES = "".join(map(witness_line, NAMES))
# The example of the specification.
EXAMPLE = (
    f"{LOG_LINE}\n# two organizations\n{WITNESSES}"
    "group X-witnesses 2 X1 X2 X3\n\t group\tY-witnesses  any Y1 Y2 Y3\n"
    "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
)


def parse(text):
    return policy.Policy.parse(text.encode("utf-8", "surrogateescape"))


def signed(*names, key=LOG):
    return checkpoint.sign(PROMISE, key, *(SIGNERS[name] for name in names), now=1_700_000_000)


@pytest.mark.parametrize("names", [("X1", "X2", "Y1"), ("X1", "X3", "Y2"), NAMES])
def test_a_quorum_that_is_met(names):
    """The checkpoint comes back with who cosigned it and when; witnesses beyond the quorum are named too."""
    accepted = parse(EXAMPLE).accept(signed(*names), ORIGIN)
    assert accepted == policy.Accepted(checkpoint=PROMISE, witnesses=dict.fromkeys(names, 1_700_000_000))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "cosigned by no witness; X-and-Y has 0 of 2"),
        (
            ("X1", "Y1"),
            "cosigned by X1, Y1; X-and-Y has 1 of 2, without X-witnesses; X-witnesses has 1 of 2, without X2, X3",
        ),
        (("X1", "X2", "X3"), "Y-witnesses has 0 of 1, without Y1, Y2, Y3"),
        (("Y1", "Y2", "Y3"), "X-witnesses has 0 of 2, without X1, X2, X3"),
    ],
)
def test_a_quorum_that_is_not_met_says_by_whom(names, said):
    """The refusal names the groups that lack members, and the members (attack 44)."""
    with pytest.raises(errors.SignatureError) as caught:
        parse(EXAMPLE).accept(signed(*names), ORIGIN)
    assert "quorum X-and-Y is not met" in str(caught.value)
    assert said in str(caught.value)


def test_witnesses_do_not_stand_in_for_the_log():
    """Without a known log's signature, or under another origin, no number of cosignatures suffices."""
    chosen = parse(EXAMPLE)
    with pytest.raises(errors.SignatureError, match="no known key"):
        chosen.accept(signed(*NAMES, key=keys.SigningKey.generate()), ORIGIN)
    with pytest.raises(errors.SignatureError, match="names no log 'other'"):
        chosen.accept(signed(*NAMES), "other")


def test_one_bad_cosignature_condemns():
    """A known witness' line over another checkpoint refuses the note, though the quorum is met without it (attack 44)."""
    stray = note.split(note.sign(str(PROMISE).replace("\n7\n", "\n8\n"), [SIGNERS["Y3"]], 5))[1][0]
    with pytest.raises(errors.SignatureError):
        parse(EXAMPLE).accept(signed("X1", "X2", "Y1") + str(stray).encode(), ORIGIN)


def test_a_policy_without_logs_or_witnesses():
    """A log known from elsewhere counts where the policy names none, and there alone; `quorum none` asks nobody."""
    known = note.Verifier(name=ORIGIN, key=LOG.public)
    assert parse("quorum none\n").accept(signed(), ORIGIN, log=known).witnesses == {}
    with pytest.raises(errors.SignatureError):
        parse("quorum none\n").accept(signed(), ORIGIN)
    stranger = keys.SigningKey.generate()
    with pytest.raises(errors.SignatureError):
        parse(LOG_LINE + "quorum none\n").accept(
            signed(key=stranger), ORIGIN, log=note.Verifier(name=ORIGIN, key=stranger.public)
        )
    alone = parse(witness_line("X1", "https://x1.test/w") + "quorum X1\n")
    assert alone.witnesses["X1"].url == "https://x1.test/w"
    assert alone.accept(signed("X1"), ORIGIN, log=known).witnesses == {"X1": 1_700_000_000}


def test_a_modern_witness_counts():
    """A witness may have an ML-DSA-44 key."""
    chosen = parse(f"{LOG_LINE}witness q {note.vkey(QUANTUM.verifier)}\nquorum q\n")
    data = checkpoint.sign(PROMISE, LOG, QUANTUM, now=9)
    assert chosen.accept(data, ORIGIN).witnesses == {"q": 9}


def test_names_are_octets():
    """K and the Kelvin sign are two names; a no-break space parts no words; bytes that are no UTF-8 are a name too."""
    kelvin = witness_line("X1").replace("X1", "\u212a\u00a0", 1)
    stray = witness_line("X2").replace("X2", "K\udcff", 1)
    chosen = parse(f"{kelvin}{stray}group K all \u212a\u00a0 K\udcff\nquorum K\n")
    assert chosen.quorum == "K"
    with pytest.raises(errors.SignatureError, match="without \u212a\u00a0, K\\\\xff"):
        chosen.accept(signed(), ORIGIN, log=note.Verifier(name=ORIGIN, key=LOG.public))


SAME_KEY = f"witness again {note.vkey(cosignature.Verifier(name='other', key=SIGNERS['X1'].verifier.key))}\n"
OWN_WITNESS = f"witness own {note.vkey(cosignature.Verifier(name='own', key=LOG.public))}\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("quorum none", 1),
        ("quorum none\nquorum none\n", 2),
        ("quorum X1\n" + witness_line("X1"), 1),
        ("group none any X1\n", 1),
        (WITNESSES + "group G 0 X1\n", 7),
        (WITNESSES + "group G 01 X1\n", 7),
        (WITNESSES + "group G 2 X1\n", 7),
        (WITNESSES + "group G +1 X1\n", 7),
        (WITNESSES + "group G \u0661 X1\n", 7),
        (WITNESSES + "group G all\n", 7),
        (WITNESSES + "group G any X1 X1\n", 7),
        (WITNESSES + "group G any X1\ngroup H any X1\n", 8),
        (WITNESSES + "group G any none\n", 7),
        (WITNESSES + "group G any G\n", 7),
        (WITNESSES + "group X1 any X2\n", 7),
        (witness_line("X1") + SAME_KEY, 2),
        (LOG_LINE + LOG_LINE, 2),
        (LOG_LINE + OWN_WITNESS, 2),
        (LOG_LINE.replace("log ", "witness w "), 1),
        (witness_line("X1").replace("witness X1", "log"), 1),
        (witness_line("X1", "a b"), 1),
        (LOG_LINE.replace("log ", "Log "), 1),
        ("log nothing\n", 1),
        ("quorum none\r\n", 1),
        ("# a\x7f\n", 1),
        ("#\n\n\nlog\u00a0x\n", 4),
    ],
)
def test_a_mistake_is_named_by_its_line(text, line):
    """What the specification does not allow is refused, and the message says where."""
    with pytest.raises(errors.StatementError, match=rf"^policy line {line}\b"):
        parse(text)


@pytest.mark.parametrize("data", [b"", b"\n", b"# nothing\n", b"#" * (policy.MAX_BYTES + 1)])
def test_a_policy_needs_a_quorum(data):
    """No default decides whom to trust."""
    with pytest.raises(errors.StatementError):
        policy.Policy.parse(data)


def test_the_recommended_size_is_taken():
    """32 logs, 32 witnesses and 32 groups, as the specification recommends."""
    logs = "".join(
        f"log {note.vkey(note.Verifier(name=f'l{n}', key=keys.SigningKey.generate().public))}\n" for n in range(32)
    )
    witnesses, groups = "", ""
    for n in range(32):
        witnesses += (
            f"witness w{n} {note.vkey(cosignature.Verifier(name='w', key=mldsa.SigningKey.generate().public))}\n"
        )
        groups += f"group g{n} all w{n} {f'g{n - 1}' if n else ''}\n"
    chosen = parse(f"{logs}{witnesses}{groups}quorum g31\n")
    assert chosen.met("g31", {f"w{n}": 0 for n in range(32)})
    assert not chosen.met("g31", {f"w{n}": 0 for n in range(31)})
