"""check_file, check_folder, check_apart: whether what a long job is to leave can be written, asked before it begins.

`held`: that nobody else writes there meanwhile.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from eenn_rl.errors import InvalidValueError
from eenn_rl.lock import FileLock


def check_file(path: Path, option: str) -> None:
    """Make the folder of `path`, which the user gave by `option`; raises `InvalidValueError` where none can be made.

    Likewise where `path` is a folder itself.
    """
    if path.is_dir():
        raise InvalidValueError(f"{option} {path}: expected a file, found a folder: add a file's name")
    _check(path.parent, path, option)


def check_apart(first: Path, option: str, second: Path, other_option: str) -> None:
    """Refuse two options that name one file, however each spells it: what is written last would be all that stays."""
    if first.resolve() == second.resolve():
        raise InvalidValueError(
            f"{other_option} {second}: expected another file than {option}'s, found the same: choose two names"
        )


def check_folder(path: Path, option: str) -> None:
    """Make the folder `path`, which the user gave by `option`; raises `InvalidValueError` where none can be made."""
    _check(path, path, option)


def _check(folder: Path, path: Path, option: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):  # permissions alone do not tell: /proc looks writable to root
            pass
    except OSError as error:
        raise InvalidValueError(
            f"{option} {path}: expected a place that can be written to, found none ({error.strerror}): choose another"
        ) from None


def lock_of(path: Path) -> Path:
    """The file by which `held` holds `path`."""
    return path / ".lock" if path.is_dir() else path.with_name(f".{path.name}.lock")


@contextmanager
def held(path: Path, what: str, option: str) -> Iterator[None]:
    """Hold `path`, a folder or a file: a second writer is refused while this one lives, whatever happens to it.

    `what` names its kind, `option` is how the user chose it. Raises `InvalidValueError` for the second one,
    and where the file system locks no files.
    """
    try:
        lock = FileLock(lock_of(path))
    except BlockingIOError:
        raise InvalidValueError(
            f"{what} {path} is in use by another process: wait for it, or choose another {option}"
        ) from None
    try:
        yield
    finally:
        lock.release()
