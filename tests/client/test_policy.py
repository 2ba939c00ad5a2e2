"""A policy file: one reading, and a refusal that names line and clause."""

import contextlib
import datetime as dt
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import clauses, errors, policy

ROOT = Path(__file__).parents[2]
FINGERPRINT = "SHA256:" + "A" * 43
WHOLE = f"""
coordinators: [{FINGERPRINT}]
tasks:
  - {"0" * 64}
  - {"ab" * 32}
environments: ["{"cd" * 32}"]
disclosures: [none, public]
recipients: 3
rounds: 30
rounds_per_day: 4
expires: 2027-12-31
clip_norm: 1.5
privacy: {{epsilon: 8, delta: 1e-6}}
max_bytes_out: 1000000
announce_refusals: true
"""

hexes = st.sets(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=3).map(frozenset)
reals = st.floats(min_value=0, allow_nan=False)
policies = st.builds(
    policy.Policy,
    coordinators=st.sets(st.from_regex(r"SHA256:[A-Za-z0-9+/]{43}", fullmatch=True), max_size=3).map(frozenset),
    tasks=hexes,
    environments=hexes,
    disclosures=st.sets(st.sampled_from(["public", "none"])).map(frozenset),
    recipients=st.integers(0, 2**53 - 1),
    rounds=st.integers(0, 2**53 - 1),
    rounds_per_day=st.integers(0, 100),
    expires=st.dates(),
    clip_norm=reals,
    privacy=st.builds(policy.Budget, epsilon=reals, delta=reals),
    max_bytes_out=st.integers(0, 2**53 - 1),
    announce_refusals=st.booleans(),
)


def refused(text: str | bytes) -> errors.PolicyError:
    with pytest.raises(errors.PolicyError) as caught:
        policy.Policy.parse(text if isinstance(text, bytes) else text.encode())
    return caught.value


def test_a_policy_is_read() -> None:
    """Each clause has its value; what YAML would have made of `none` or of 64 digits is not asked."""
    read = policy.Policy.parse(WHOLE.encode())
    assert read.coordinators == {FINGERPRINT}
    assert read.tasks == {"0" * 64, "ab" * 32}
    assert read.disclosures == {"none", "public"}
    assert (read.recipients, read.rounds, read.rounds_per_day) == (3, 30, 4)
    assert read.expires == dt.date(2027, 12, 31)
    assert (read.clip_norm, read.privacy) == (1.5, policy.Budget(epsilon=8.0, delta=1e-6))
    assert (read.max_bytes_out, read.announce_refusals) == (1_000_000, True)


@settings(deadline=None)
@given(each=policies)
def test_what_is_written_is_read_back(each: policy.Policy) -> None:
    """parse(to_yaml(p)) == p, for every policy."""
    assert policy.Policy.parse(each.to_yaml().encode()) == each


def test_each_clause_is_explained_in_the_file() -> None:
    """A written policy has every clause, each under a comment of its own."""
    lines = policy.Policy().to_yaml().splitlines()
    names = [line.partition(":")[0] for line in lines if line and line[0] not in "# "]
    assert tuple(names) == tuple(policy.KINDS) == tuple(policy.SAYS)
    assert all(lines[lines.index(line) - 1].startswith("# ") for line in lines if line.partition(":")[0] in names)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_what_is_not_there_admits_nothing(text: str) -> None:
    """Default deny: an empty policy is one, and the one that refuses everything."""
    assert policy.Policy.parse(text.encode()) == policy.Policy()


WRONG = [
    ("rouns: 3", 1, "'rouns'", "one of"),
    ("rounds: 3\nrounds: 3", 2, "rounds", "once"),
    ("privacy: {epsilon: 1, epsilon: 2}", 1, "privacy.epsilon", "once"),
    ("privacy: {sigma: 1}", 1, "privacy", "epsilon, delta"),
    ("privacy: 3", 1, "privacy", "mapping"),
    ("\nrounds: three", 2, "rounds", "integer"),
    ("rounds: '3'", 1, "rounds", "integer"),
    ("rounds: 010", 1, "rounds", "integer"),
    ("rounds: 0x10", 1, "rounds", "integer"),
    ("rounds: 1_000", 1, "rounds", "integer"),
    ("rounds: 1:30", 1, "rounds", "integer"),
    ("rounds: -1", 1, "rounds", "integer"),
    ("rounds: 3.0", 1, "rounds", "integer"),
    ("rounds: true", 1, "rounds", "integer"),
    ("rounds:", 1, "rounds", "integer"),
    ("rounds: [3]", 1, "rounds", "integer"),
    ("rounds: 9007199254740992", 1, "rounds", "2**53"),
    ("rounds: \u0663", 1, "rounds", "integer"),
    ("clip_norm: .nan", 1, "clip_norm", "number"),
    ("clip_norm: -.inf", 1, "clip_norm", "number"),
    ("clip_norm: ''", 1, "clip_norm", "number"),
    ("expires: 2027-02-30", 1, "expires", "calendar"),
    ("expires: tomorrow", 1, "expires", "date"),
    ("expires: 2027-01-01T00:00:00", 1, "expires", "date"),
    ("announce_refusals: yes", 1, "announce_refusals", "true or false"),
    ("announce_refusals: 'true'", 1, "announce_refusals", "true or false"),
    ("coordinators: SHA256:" + "A" * 43, 1, "coordinators", "list"),
    ("coordinators: [SHA256:short]", 1, "coordinators", "fingerprint"),
    ("tasks: ['" + "AB" * 32 + "']", 1, "tasks", "hex"),
    ("tasks:\n  - " + "ab" * 32 + "\n  - *", 3, "", ""),
    ("tasks: [[]]", 1, "", "deep"),
    ("---", 1, "", "mapping"),
    ("disclosures: [auditors]", 1, "disclosures", "public or none"),
    ("- rounds", 1, "", "mapping"),
    ("rounds", 1, "", "mapping"),
    ("[rounds]: 3", 1, "", "one of"),
    ("tasks: [[[[]]]]", 1, "", "deep"),
    ("rounds: &a 3", 1, "", "anchor"),
    ("rounds: &a 3\nrecipients: *a", 1, "", "anchor"),
    ("rounds: !!int 3", 1, "", "tag"),
    ("rounds: !!python/object/apply:os.system [ls]", 1, "", "tag"),
    ("rounds: 3\n---\nrounds: 4", 2, "", "document"),
    ("rounds: 3\n\t- 4", 2, "", ""),
    ("rounds: {", 1, "", ""),
    ("<<: {rounds: 3}", 1, "'<<'", "one of"),
]


@pytest.mark.parametrize(("text", "line", "clause", "said"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_named(text: str, line: int, clause: str, said: str) -> None:
    """Unknown, twice, of another type, or YAML that says more than a policy: refused, with its line and clause."""
    error = refused(text)
    assert (error.line, error.clause) == (line, clause)
    assert said in str(error)
    assert f"line {line}" in str(error)


def test_a_file_too_large_or_too_deep_is_refused_at_once() -> None:
    """Neither a gigabyte nor a thousand brackets are read into anything."""
    assert "at most" in str(refused(b"#" * (clauses.LIMIT + 1)))
    assert "deep" in str(refused("[" * clauses.LIMIT))
    assert "deep" in str(refused("{a: " * 10_000))
    assert "UTF-8" in str(refused(b"rounds: 3\n\xff"))
    assert refused(b"rounds: 3\n\xff").line == 2


@settings(deadline=None, max_examples=300)
@given(data=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_any_bytes_are_a_policy_or_refused(data: bytes) -> None:
    """Whatever a file holds, it is read or a PolicyError."""
    with contextlib.suppress(errors.PolicyError):
        policy.Policy.parse(data)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_a_changed_policy_is_a_policy_or_refused(data: st.DataObject) -> None:
    """The same of a policy with a piece of it taken out or put in."""
    start = data.draw(st.integers(0, len(WHOLE)))
    end = data.draw(st.integers(start, min(len(WHOLE), start + 20)))
    put = data.draw(st.text("abc:[]{}-#&*!|>'\"\n \t019.", max_size=6))
    with contextlib.suppress(errors.PolicyError):
        policy.Policy.parse((WHOLE[:start] + put + WHOLE[end:]).encode())


def test_the_document_shows_a_whole_policy() -> None:
    """The example of docs/policy.md is a policy, with every clause."""
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "policy.md").read_text(), re.DOTALL)
    read = policy.Policy.parse(example.encode())
    assert set(policy.KINDS) == set(re.findall(r"(?m)^(\w+):", example))
    assert all(getattr(read, name) != getattr(policy.Policy(), name) for name in policy.KINDS)
