"""What can go wrong while measuring.

BenchmarkError
 +- PeerError    a peer cannot be installed, or fails
 +- ResultError  a result file is missing, or of another form
"""


class BenchmarkError(Exception):
    """Any failure of a benchmark."""

    exit_code = 1


class PeerError(BenchmarkError):
    """A peer cannot be installed, or fails."""


class ResultError(BenchmarkError):
    """A result file is missing, or of another form."""
