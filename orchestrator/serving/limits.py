"""What the service gives to whom: requests, connections, seconds and bytes."""

import dataclasses

from orchestrator import blockservice


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one service gives.

    Attributes:
        burst: requests of one address at once.
        rate: requests a second of one address after that.
        connections: open at the same time; beyond them a new one is closed.
        each: connections of one address at the same time; 0 for no such limit, as behind a proxy.
        requests: being answered at the same time, tails not counted.
        tails: open at the same time.
        puts: files that come in at the same time.
        puts_each: of them, those of one member.
        waiting: statements that wait to be appended.
        patience: seconds for a request's head, for the body of a statement, and for what is sent at once to be taken.
        grace: seconds for a file that brings, or a client that takes, nothing, altogether; for a small file less: `patience`
            and what its bytes earn.
        slowest: bytes a second that earn a file its time.
        updates: how many times the bytes of the largest update a member may put in a round.
        said: statements of one member that are appended at once.
        said_rate: statements a second of one member after that.
    """

    burst: int = blockservice.BURST
    rate: float = blockservice.RATE
    connections: int = 1024
    each: int = 256
    requests: int = 256
    tails: int = 512
    puts: int = 16
    puts_each: int = 2
    waiting: int = 4096
    patience: float = 10.0
    grace: float = blockservice.GRACE
    slowest: float = blockservice.SLOWEST
    updates: int = 4
    said: int = 60
    said_rate: float = 1.0

    @property
    def requests_share(self) -> int:
        """Requests of one address being answered at the same time; all of them where addresses are not limited."""
        return max(1, self.requests // 4) if self.each else self.requests

    @property
    def puts_share(self) -> int:
        """Files that come in from one address at the same time; all of them where addresses are not limited."""
        return max(1, self.puts // 2) if self.each else self.puts
