"""The software around the code that a holder runs: which Python, and which version of every package that is installed.

    cpython==3.11.7
    absl-py==2.5.1
    ...

The digest is for the holder's own policy: after any installation or upgrade it is another, and the holder looks before it
consents again. It covers names and versions, not the bytes of packages, and it proves nothing to others.
"""

import functools
import hashlib
import platform
import re
from importlib import metadata


@functools.cache
def listing() -> str:
    """`name==version` lines, the interpreter first, then distributions by normalized name.

    Of two installations of a name the first on the path counts, as it does for imports.

    Reference: PyPA specification "Names and normalization".
    """
    versions: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
        versions.setdefault(name, distribution.version)
    python = f"{platform.python_implementation().lower()}=={platform.python_version()}"
    return "".join(f"{line}\n" for line in (python, *(f"{name}=={versions[name]}" for name in sorted(versions))))


def digest() -> str:
    """Hex sha256 of `listing`."""
    return hashlib.sha256(listing().encode()).hexdigest()
