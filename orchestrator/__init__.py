"""The coordinator: rounds, pools of workers, settlement, audit, and the command line."""
