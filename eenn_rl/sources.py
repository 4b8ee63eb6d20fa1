"""What an installed backend's costs come from: the files that it ships with, in one hash."""

import hashlib
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePath

from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.plugins import BackendRecord

WHOLE_BYTES = 32 * 2**20
"""Files up to this size are hashed whole; reading more would hold up the start of a run."""


def sources_of(backend: HardwareBackend, record: BackendRecord) -> str:
    """SHA-256, hex, over the files that `backend` ships with, data as well as code: they change between versions.

    Those are all files of its package (or its module), of the one that its entry point names, and what its
    distribution lists; compiled and hidden ones and the installer's notes are left out. Of a file larger than
    `WHOLE_BYTES` the size and the time of its last change stand for its content.
    """
    modules = {type(backend).__module__, record.origin.partition(":")[0]}
    packages = {name.partition(".")[0] for name in modules}
    found = [*_listed(record.distribution), *(file for package in packages for file in _of_package(package))]
    digest = hashlib.sha256()
    for path, name in sorted({path.resolve(): name for path, name in found}.items(), key=lambda item: item[::-1]):
        digest.update(f"{name}\0{_content(path)}\n".encode())
    return digest.hexdigest()


def _of_package(package: str) -> Iterator[tuple[Path, str]]:
    """Every file of an imported package, or the one of a module, and its name within."""
    module = sys.modules.get(package)
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    alone = [Path(getattr(module, "__file__", None) or "")] if not folders else []
    for root, path in (
        *((path.parent, path) for path in alone),
        *((f.parent, p) for f in folders for p in f.rglob("*")),
    ):
        name = path.relative_to(root)
        if _ships(name) and path.is_file():
            yield path, name.as_posix()


def _listed(distribution: str) -> Iterator[tuple[Path, str]]:
    """The files that an installed distribution lists; none where it does not say."""
    try:
        listed = metadata.files(distribution) or ()
    except Exception:  # noqa: BLE001  whatever a stranger's damaged metadata makes of the reader
        return
    for entry in listed:
        path = Path(str(entry.locate()))
        if _ships(entry) and path.is_file():
            yield path, entry.as_posix()


def _ships(name: PurePath) -> bool:
    """Whether a file is part of what was written, not of what running or installing it left."""
    left = any(part == "__pycache__" or (part.startswith(".") and part != "..") for part in name.parts)
    return not left and name.suffix != ".pyc" and not any(part.endswith(".dist-info") for part in name.parts)


def _content(path: Path) -> str:
    try:
        status = path.stat()
        if status.st_size > WHOLE_BYTES:
            return f"{status.st_size} bytes of {status.st_mtime_ns}"
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"unread: {error.errno}"
