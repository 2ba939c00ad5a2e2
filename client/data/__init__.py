"""A holder's own files, read once and strictly into examples of a task; and the card that says what was read."""
