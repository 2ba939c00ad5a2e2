"""The digest of the software around a holder's code."""

import hashlib
import platform

from client import environment


def test_every_package_stands_with_its_version() -> None:
    """The interpreter first, then each distribution once, by normalized name; the digest is that of the listing."""
    first, *others = environment.listing().splitlines()
    assert first == f"cpython=={platform.python_version()}"
    names = [line.partition("==")[0] for line in others]
    assert names == sorted(set(names))
    assert {"torch", "numpy", "dp-accounting"} <= set(names)
    assert environment.digest() == hashlib.sha256(environment.listing().encode()).hexdigest()


def test_an_upgrade_is_another_environment(tmp_path, monkeypatch) -> None:
    """A package that is installed in front of the others, or of another version, changes the digest."""
    before = environment.digest()
    seen = {before}
    for version in ("0.1", "0.2"):
        folder = tmp_path / f"tally-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: Tally_Stick\nVersion: {version}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        environment.listing.cache_clear()
        seen.add(environment.digest())
        (folder / "METADATA").unlink()
        folder.rmdir()
    environment.listing.cache_clear()
    assert len(seen) == 3
    monkeypatch.undo()
    environment.listing.cache_clear()
    assert environment.digest() == before
