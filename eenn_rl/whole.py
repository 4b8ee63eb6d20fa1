"""whole: a file that appears complete, or not at all, whoever else writes to the same place."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from secrets import token_hex

ENDING = ".unfinished"


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what belongs at `path`: it gets there in one step at the end, or goes where something fails.

    Each call has a file of its own, beside `path`: of several writers the last one's stays. What a killed process left
    of this file goes, too. An `OSError` names `path`, not the file beside it.
    """
    clear_unfinished(path.parent, path.name)
    unfinished, handle = _begun(path)
    try:
        yield unfinished
        unfinished.replace(path)
    except BaseException as error:
        with suppress(OSError):
            unfinished.unlink()
        if isinstance(error, OSError) and str(error.filename) == str(unfinished):
            error.filename = str(path)
        raise
    finally:
        os.close(handle)


def _begun(path: Path) -> tuple[Path, int]:
    """A new file beside `path`, and a handle that holds its lock: by that others know that its writer lives."""
    while True:
        unfinished = path.with_name(f".{path.name}.{token_hex(4)}{ENDING}")
        try:
            # With the permissions of any new file, unlike those of tempfile.
            handle = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        except OSError as error:
            error.filename = str(path)
            raise
        with suppress(OSError):  # where files cannot be locked nobody clears them either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if unfinished.exists():
            return unfinished, handle
        os.close(handle)  # taken for a dead one's before it was locked


def clear_unfinished(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left of the file called `name` in `folder`, or of any: what nobody is writing."""
    for left in folder.glob(f".{'*' if name is None else escape(name)}.*{ENDING}"):
        with suppress(OSError):  # somebody is at work on it, or has just finished
            handle = os.open(left, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
            finally:
                os.close(handle)
