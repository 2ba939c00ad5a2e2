"""Holders side by side: a run ends with the same bits wherever its groups train, and however often it is killed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from client import worker
from ledger import dsse, keys, statements
from orchestrator import errors, folder, inprocess, replay
from tests import federation

RUN = (
    "task=synthetic",
    "task.holders=20",
    "task.examples=12",
    "task.features=8",
    "task.classes=3",
    "task.hidden=5",
    "task.momentum=0.9",
    "task.tests=20",
    "pool.together=8",
    "rule=median",
    "attack=none",
)
HOSTILE = (*RUN, "+attack.behaviours.holder-03=sign_flip", "+attack.behaviours.holder-11=garbage")


def final(root: Path) -> str:
    return replay.Replay(folder.RunFolder(root=root), lambda _number, _total: None).audit().checkpoint


def companies(root: Path) -> dict[tuple[str, int], str | None]:
    """What each offer says of how many trained together, by member and round."""
    with federation.journal.published(root / "ledger.sqlite") as record:
        said = [statements.parse(entry.envelope.payload) for entry in record.entries()]
    offers = [each for each in said if isinstance(each, statements.UpdateOffer)]
    return {(each.author, each.round): each.runtime.get("together") for each in offers}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two rounds in this process, audited."""
    root = tmp_path_factory.mktemp("together") / "run"
    federation.conduct(root, inprocess.InProcessPool(), *HOSTILE)
    assert final(root)
    return root


@pytest.mark.parametrize("answered", [1, 2, 4, 7])
def test_a_run_that_was_killed_between_groups_ends_with_the_same_bits(
    whole: Path, tmp_path: Path, answered: int
) -> None:
    """Those that have answered train again beside those that have not, and are not asked again."""
    root = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(answered), *HOSTILE)
    federation.conduct(root, inprocess.InProcessPool(), *HOSTILE)
    assert final(root) == final(whole)


class Forgetful(inprocess.InProcessPool):
    """A pool that loses half of every group's replies, and dies when it has no more."""

    def wait(self, timeout: float) -> list[worker.Reply]:
        replies = super().wait(timeout)
        if not replies:
            raise KeyboardInterrupt
        return replies[len(replies) // 2 :]


def test_a_run_that_lost_a_part_of_a_group_ends_with_the_same_bits(whole: Path, tmp_path: Path) -> None:
    """Some members of a group are on the ledger, the others are not: the group is the same, and offers are said again."""
    root = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, Forgetful(), *HOSTILE)
    federation.conduct(root, inprocess.InProcessPool(), *HOSTILE)
    assert final(root) == final(whole)
    assert companies(root) == companies(whole), "nobody trained in smaller company than before"


@pytest.mark.ray
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_gives_the_same_bits(whole: Path, tmp_path: Path, execute: Callable, workers: int) -> None:
    """One worker or two: who trains beside whom is decided by the round."""
    execute(tmp_path / "run", *HOSTILE, "pool=ray", f"pool.workers={workers}")
    assert final(tmp_path / "run") == final(whole)


def test_an_offer_says_how_many_trained_together(whole: Path) -> None:
    """18 honest holders in three groups of six; the hostile ones alone, with nothing to say."""
    found = companies(whole)
    assert len(found) == 40
    for (author, _), together in found.items():
        assert together == (None if author in {"holder-03", "holder-11"} else "6")


def test_another_number_is_another_run(whole: Path, execute: Callable) -> None:
    """The bits may depend on it, so a folder keeps to it."""
    with pytest.raises(errors.FolderError, match=r"pool\.together=8, on which the bits of training depend"):
        execute(whole, *HOSTILE, "pool.together=1")
    with pytest.raises(errors.ConfigError, match=r"pool\.together is -1, expected 0 or more"):
        execute(whole, *HOSTILE, "pool.together=-1")


class Forging(inprocess.InProcessPool):
    """Says for some holders of a group what is none of theirs.

    Args:
        spoilt: said for the first; the second repeats what the third says.
    """

    def __init__(self, spoilt: bytes) -> None:
        super().__init__()
        self._spoilt = spoilt

    def wait(self, timeout: float) -> list[worker.Reply]:
        replies = super().wait(timeout)
        assert replies, "all have answered, so there is nothing to wait for"
        first, second, third, *others = replies
        spoilt = worker.Reply(member=first.member, offer=self._spoilt)
        forged = worker.Reply(member=second.member, offer=third.offer)
        return [spoilt, forged, third, *others]


MISSIGNED = dsse.sign(
    statements.build(statements.RoundDecline(author="holder-00", run="0" * 64, round=1, reason="policy-rounds")),
    keys.SigningKey.generate(),
).to_bytes()


@pytest.mark.parametrize("spoilt", [b'{"payload":1}', MISSIGNED], ids=["no statement", "not signed by its author"])
def test_one_bad_offer_among_many_is_dropped_alone(tmp_path: Path, spoilt: bytes) -> None:
    """What is not well-formed is refused, what was said twice counts once; the others' offers are on the ledger."""
    root = tmp_path / "run"
    federation.conduct(root, Forging(spoilt), *RUN, "rounds=1", "pool.together=0")
    assert len(companies(root)) == 18
    assert final(root)
