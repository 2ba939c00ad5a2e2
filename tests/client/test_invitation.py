"""An invitation is one line, for one place in one run, and nothing but that line is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import errors, invitation

invitations = st.builds(
    invitation.Invitation,
    run=st.binary(min_size=32, max_size=32).map(bytes.hex),
    name=st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True),
    seed=st.binary(min_size=32, max_size=32),
)


@given(invitations)
def test_a_line_reads_back(made: invitation.Invitation) -> None:
    """Name, run and key come back, white space around the line or not; the line is short enough for any terminal."""
    assert invitation.Invitation.parse(f"  {made.text}\n") == made
    assert invitation.Invitation.parse(made.text).key.public == made.key.public
    assert len(made.text) <= invitation.MAX_CHARACTERS
    assert made.text.split(".")[0] == "folkmoot-invite-1"


@given(invitations, st.data())
def test_no_other_line_is_the_same_invitation(made: invitation.Invitation, data: st.DataObject) -> None:
    """A character lost, added or changed: refused, or another invitation; what the message says is no secret (attack 47)."""
    place = data.draw(st.integers(0, len(made.text) - 1))
    other = data.draw(st.sampled_from(["", "A", "=", "é", "\n", made.text[place] * 2]))
    changed = made.text[:place] + other + made.text[place + 1 :]
    said, read = "", None
    try:
        read = invitation.Invitation.parse(changed)
    except errors.InvitationError as error:
        said = str(error)
    assert made.seed.hex() not in said
    assert made.text[20:40] not in said
    assert read is None or (read == made) == (read.text == made.text)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "folkmoot-invite-1.",
        "folkmoot-invite-2.e30",
        "folkmoot-invite-1.e30",
        "folkmoot-invite-1." + "A" * 600,
        "folkmoot-invite-1.bnVsbA",
    ],
)
def test_what_is_no_invitation_is_refused(line: str) -> None:
    """An empty one, another version, an empty record, one without end, no record."""
    with pytest.raises(errors.InvitationError, match="expected one whole line that begins with folkmoot-invite-1"):
        invitation.Invitation.parse(line)


@pytest.mark.parametrize("stray", ["\n", "!", " ", "=", "é"])
def test_a_line_with_something_in_it_is_refused(stray: str) -> None:
    """What a lenient base64 decoder would skip makes another text, and so no invitation."""
    text = invitation.Invitation(run="ab" * 32, name="alice", seed=b"\x07" * 32).text
    with pytest.raises(errors.InvitationError):
        invitation.Invitation.parse(text[:60] + stray + text[60:])


def test_an_invitation_does_not_print_its_key() -> None:
    """Not in a log, not in a traceback (attack 47)."""
    made = invitation.Invitation(run="ab" * 32, name="alice", seed=b"\x07" * 32)
    assert "0707" not in repr(made)
    assert "x07" not in repr(made)
