"""The files of a run folder that name where something else is: `ledger.url`, `store.api`, `store.gateways`."""

from pathlib import Path

from orchestrator import errors


def read(path: Path) -> str:
    """The text of such a file, without the white space around it.

    Raises:
        FolderError: it is no text.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise errors.FolderError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}), expected URLs"
        ) from error
    if "\0" in text:
        raise errors.FolderError(f"{path} has a zero byte, expected URLs")
    return text
