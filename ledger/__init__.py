"""Records: signed statements, the append-only log that orders them, and what the log says."""
