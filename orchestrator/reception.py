"""How holders from elsewhere come in while a run goes on: who is invited, who has arrived, and what people are told of it."""

from collections.abc import Mapping, Sequence

from ledger import history
from orchestrator import folder, invitations, journal, listener


class Reception:
    """The coordinator's door, which is shut where the plan's holders are fixed.

    Args:
        where: the run folder.
        record: the run's log.
        listeners: those of them that are hosts are told.
        opened: whether the plan's holders are invited.
    """

    def __init__(
        self,
        where: folder.RunFolder,
        record: journal.Journal,
        listeners: Sequence[listener.Listener],
        *,
        opened: bool,
    ) -> None:
        self._folder = where
        self._journal = record
        self._hosts = [each for each in listeners if isinstance(each, listener.Host)]
        self.opened = opened

    def invite(self, names: Mapping[str, str]) -> None:
        """Invite those of `names` that are no members yet, each to its role."""
        for name, role in names.items():
            if not invitations.taken_up(self._journal.history, name):
                invitations.invite(self._folder, self._journal, name, role)

    def announce(self) -> None:
        """Show the invitations that nobody has taken up."""
        for each in invitations.pending(self._folder, self._journal.history):
            for host in self._hosts:
                host.invited(each.name, invitations.command(self._folder, each))

    def arrived(self) -> tuple[str, ...]:
        """The members to be given their roles."""
        return invitations.arrived(self._folder, self._journal.history) if self.opened else ()

    def admit(self, names: tuple[str, ...]) -> None:
        """Give `names` their roles."""
        for name in invitations.admit(self._folder, self._journal, names):
            for host in self._hosts:
                host.joined(name)

    def tell(self, known: history.History) -> None:
        """Show how far the open round is."""
        record = known.current
        if not self.opened or record is None or record.phase != history.Phase.OPEN:
            return
        answered = record.offers.keys() | record.declined.keys()
        slow = [name for name in record.open.cohort if name not in answered]
        said = f"{len(record.offers)} of {len(record.open.cohort)} offered"
        said += f", {len(record.declined)} declined" if record.declined else ""
        self.say(f"{said}, waiting for {listed(slow)}" if slow else said)

    def say(self, sentence: str) -> None:
        """Show what the run waits for."""
        for host in self._hosts:
            host.waiting(sentence)


def listed(names: Sequence[str], *, most: int = 8) -> str:
    """Names for people, not all of them where they are many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
