"""FileLock: what only one process may do at a time."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from eenn_rl.errors import InvalidValueError


class FileLock:
    """The file `path`, locked and there until `release`; the kernel lets go of the lock however the process ends.

    Raises `BlockingIOError` where another process holds it, `InvalidValueError` where the file system locks no files,
    and any other `OSError` where there can be no such file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        while True:
            self._handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(self._handle)
                if isinstance(error, BlockingIOError):
                    raise
                raise InvalidValueError(
                    f"{path.parent}: expected a file system that can lock files, found one that cannot "
                    f"({error.strerror}): choose a folder on another one, such as a local disk"
                ) from None
            if self._is_current():
                return
            os.close(self._handle)

    def _is_current(self) -> bool:
        """Whether the name still leads to what is locked: its last holder may just have removed it."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._handle))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let go; safe to call twice."""
        if self._handle >= 0:
            with suppress(OSError):  # one that stays, locked by nobody, hinders nobody
                if self._is_current():
                    self._path.unlink()
            os.close(self._handle)
            self._handle = -1
