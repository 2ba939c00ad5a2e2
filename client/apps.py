"""A Flower app by name: where its source is, and the digest that stands for it. Nothing here runs it, nor imports flwr.

    app.py:app           a file of the working folder, and its object `app`
    quickstart.client:app   a module

What counts as the app's source are all Python files of the folder that the file is in, or of the package that the module is
in: what an app imports from beside itself is part of it. The digest is the hex sha256 of

    {"client.py":"<hex sha256 of the file>", ...}      canonical JSON, names from that folder, with slashes

Reference: docs/protocol.md P27.
"""

import functools
import hashlib
import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from client import errors
from ledger import canonical

MOST_FILES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an app is.

    Attributes:
        module: name of the module to import.
        attribute: of the module, that is the app.
        root: folder to import it from; None where Python finds it by itself.
        folder: with all of its source.
    """

    module: str
    attribute: str
    root: Path | None
    folder: Path


def find(name: str) -> Source:
    """The source that `name` stands for on this machine.

    Raises:
        AppError: there is none.
    """
    place, _, attribute = name.partition(":")
    if not place or not attribute.isidentifier():
        raise errors.AppError(f"the app is {name!r}, expected FILE.py:OBJECT or MODULE:OBJECT")
    if place.endswith(".py"):
        path = Path(place).resolve()
        if not path.is_file():
            raise errors.AppError(f"there is no file {place} here: expected the Flower app that the run was agreed on")
        return Source(module=path.stem, attribute=attribute, root=path.parent, folder=path.parent)
    top, _, rest = place.partition(".")
    here = Path(f"{top}.py"), Path(top)
    root = Path.cwd() if any(each.exists() for each in here) else None
    found = importlib.util.find_spec(top) if root is None else None
    if root is not None:
        folder = root / top if here[1].is_dir() else root
    elif found is not None and found.origin is not None:
        folder = Path(found.origin).parent
    else:
        raise errors.AppError(f"there is no module {top} here: expected the Flower app that the run was agreed on")
    return Source(module=f"{top}.{rest}" if rest else top, attribute=attribute, root=root, folder=folder)


def digest(source: Source) -> str:
    """Hex sha256 of the app's source files.

    Raises:
        AppError: there are too many for one app.
    """
    files = sorted(path for path in source.folder.rglob("*.py") if not _aside(path.relative_to(source.folder)))
    if len(files) > MOST_FILES:
        raise errors.AppError(
            f"{source.folder} holds {len(files)} Python files, expected at most {MOST_FILES}: give the app a folder of its own"
        )
    listed: dict[str, canonical.Json] = {
        path.relative_to(source.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    return hashlib.sha256(canonical.encode(listed)).hexdigest()


def require(name: str, agreed: str) -> Source:
    """The app's source, which is here and is what was agreed on; raises as `load`, and runs nothing."""
    source = find(name)
    here = digest(source)
    if here != agreed:
        message = f"the app {name} has source {here} here, and {agreed} was agreed on"
        raise errors.AppError(f"{message}: nothing of it was run")
    return source


@functools.cache
def load(name: str, agreed: str) -> Any:  # noqa: ANN401  whatever the app's author made
    """The app, imported: its code runs from here on.

    Args:
        name: of the app.
        agreed: digest of the source that may run.

    Raises:
        AppError: it is not here, its source is another one, or it cannot be imported.
    """
    source = require(name, agreed)
    if source.root is not None and str(source.root) not in sys.path:
        # Last: a process that this one starts looks in the same places, and its `client` must be ours.
        sys.path.append(str(source.root))
    try:
        return getattr(_imported(name, source, agreed), source.attribute)
    except Exception as error:
        raise errors.AppError(
            f"the app {name} cannot be loaded: {type(error).__name__}: {error}{_taken(error)}"
        ) from error


def _imported(name: str, source: Source, agreed: str) -> ModuleType:
    if not name.partition(":")[0].endswith(".py"):
        return importlib.import_module(source.module)
    # A file may have the name of a module that is there already, such as our own `client`; so it gets another.
    own = f"flower_{agreed[:8]}_{source.module}"
    spec = importlib.util.spec_from_file_location(own, source.folder / f"{source.module}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{source.module}.py is no module")
    if own not in sys.modules:
        sys.modules[own] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[own])
    return sys.modules[own]


def _taken(error: Exception) -> str:
    top = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    ours = top in {"aggregation", "client", "conf", "exchange", "ledger", "orchestrator"}
    return f"; {top} is a package of folkmoot, which comes first: rename the app's own module" if ours else ""


def _aside(path: Path) -> bool:
    """Whether a file is none of the app's: hidden, or written by Python."""
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)
