"""The HTTP service of a run: what `folkmoot serve` answers, without any key."""
