"""`python -m orchestrator`: the command `folkmoot`, in a checkout."""

from orchestrator import cli

cli.main()
