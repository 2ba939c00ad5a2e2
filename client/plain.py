"""What strangers said, fit for a terminal and a line of a log."""


def text(said: str, limit: int = 10_000) -> str:
    """The first `limit` characters of `said`, `?` for each that is not printable: no line ends, no escapes, no directions."""
    return "".join(each if each.isprintable() else "?" for each in said[:limit])


def lines(said: str, limit: int = 10_000) -> str:
    """The same of each line."""
    return "\n".join(text(line) for line in said[:limit].split("\n"))
