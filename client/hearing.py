"""A run's log as it comes from its service into a follower: what both a holder and an aggregator listen to.

What is not believed is dropped and asked for again; nothing that a service sends ends the one who listens, but for a log that
is not the one followed so far.
"""

from collections.abc import Callable

from client import errors, follower, remote, tail


class Hearing:
    """One line to a service, opened when it is first needed.

    Args:
        service: the run's.
        follows: the log.
        covered: is called after each checkpoint that was taken in.
        broken: is told, in a sentence, when the line breaks or brings what is not believed.
    """

    def __init__(
        self,
        service: remote.Service,
        follows: follower.Follower,
        *,
        covered: Callable[[], None],
        broken: Callable[[str], None],
    ) -> None:
        self._service = service
        self._follows = follows
        self._covered = covered
        self._broken = broken
        self._tail: tail.Tail | None = None

    def listen(self, seconds: float) -> None:
        """Take in what has come, waiting `seconds` for the first of it.

        Raises:
            ForkError, StaleError: the log is not the one followed so far.
            LogError: a fault of this machine.
        """
        if self._tail is None:
            self._tail = self._service.tail(self._follows.next)
        waiting = self._tail.take(seconds)
        while waiting:
            for event in waiting:
                if not self._believed(self._tail, event):
                    break  # the line begins anew, and what came after it with it
            waiting = self._tail.take(0.0)

    def _believed(self, source: tail.Tail, event: tail.Event) -> bool:
        """Whether what came was taken in; else the line is opened anew."""
        before = self._follows.covered.known.size
        try:
            match event:
                case tail.Leaf(data=data):
                    self._follows.add(data)
                case tail.Note(data=data):
                    self._follows.cover(data)
                    self._covered()
                case tail.Broken(error=error, wait=wait):
                    self._broken(f"{error}; again in {wait:.0f} s")
            if self._follows.covered.known.size > before:
                source.believed()
        except errors.ServiceError as error:
            # What no checkpoint covers may be anybody's invention, so it goes, and is asked for again.
            source.restart(self._follows.drop())
            self._broken(f"not believed: {error}")
            return False
        return True
