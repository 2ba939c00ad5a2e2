"""Hydra's configuration groups, packaged: `pkg://conf`."""
