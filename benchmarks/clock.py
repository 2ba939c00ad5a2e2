"""When the rounds of a run were committed."""

import itertools
import time

from orchestrator import listener


class Clock:
    """A listener that notes CPU and wall time at each commit."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def opened(self, number: int, total: int) -> None:
        """Nothing to note."""

    def answered(self, reply: object) -> None:
        """Nothing to note."""

    def committed(self, report: listener.RoundReport) -> None:  # noqa: ARG002  a listener's signature
        """Note the time."""
        self.mark()

    def mark(self) -> None:
        """Note the time."""
        self.marks.append((time.process_time(), time.perf_counter()))

    def per_round(self) -> tuple[float, float]:
        """CPU and wall seconds between the first mark and the last, by round."""
        (cpu, wall), (last_cpu, last_wall) = self.marks[0], self.marks[-1]
        rounds = len(self.marks) - 1
        return (last_cpu - cpu) / rounds, (last_wall - wall) / rounds

    def walls(self) -> list[float]:
        """Wall seconds of each round after the first mark."""
        return [after - before for (_, before), (_, after) in itertools.pairwise(self.marks)]
