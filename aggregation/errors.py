"""What can go wrong with numbers.

    AggregationError
     +- LatticeError   "off-lattice"   numbers that have no place on the lattice, or a lattice that is none
     +- RuleError      "rule-refused"  an unknown rule, or more Byzantine holders than the rule can take
         +- TooFewError                fewer holders than the rule needs for so many Byzantine ones

A `LatticeError` is an adversary's data, a `RuleError` a plan that cannot work. A programmer's mistake is neither.
"""

from typing import ClassVar


class AggregationError(Exception):
    """Any refusal by this package; `code` is the reason code that goes on the ledger."""

    code: ClassVar[str] = "aggregation-refused"


class LatticeError(AggregationError):
    """Numbers outside the lattice: wrong dtype, length or range, not finite; or a malformed lattice."""

    code: ClassVar[str] = "off-lattice"


class RuleError(AggregationError):
    """A rule that is unknown or cannot take this many holders and Byzantine holders; the message says what it needs."""

    code: ClassVar[str] = "rule-refused"


class TooFewError(RuleError):
    """Fewer holders than the rule needs; in a round, what is left after the rejections may be too few."""
