"""`python -m benchmarks SUITE`: the command `folkmoot bench`, in a checkout."""

import sys

from orchestrator import cli

cli.cli(["bench", *sys.argv[1:]], prog_name="folkmoot")
