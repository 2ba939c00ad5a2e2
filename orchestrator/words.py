"""What an aggregator has said of commits: on disk before anybody hears it, so that no restart finds another word."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ledger import durable, errors, statements

Word: TypeAlias = statements.RoundCosign | statements.RoundDispute


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A folder with one file for each commit; made when it is first needed."""

    root: Path

    def on(self, commit: str) -> Word | None:
        """The word on the commit with this hex eid; None if there is none.

        Raises:
            StatementError: the file is damaged.
        """
        path = self.root / commit
        if not path.exists():
            return None
        word = statements.parse(path.read_bytes())
        if not isinstance(word, Word) or word.commit != commit:
            raise errors.StatementError(f"{path} is no word on that commit: remove it, and the round is judged anew")
        return word

    def keep(self, word: Word) -> None:
        """Nothing; this is the word on its commit, durably."""
        self.root.mkdir(exist_ok=True)
        durable.write(self.root / word.commit, statements.build(word))
