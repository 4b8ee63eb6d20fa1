"""A file that is whole at every moment: two copies take turns, and a rename makes the newer one public.

The writer changes only the hidden copy, makes it durable, then swaps the two names. Whoever opens the public name,
at any moment and after any kill, finds the file as one `publish` left it. While a writer lives, the file takes up twice
its size on disk.
"""

import errno
import fcntl
import os
import shutil
from pathlib import Path

from eenn_rl.errors import FULL_DISK
from eenn_rl.lock import FileLock
from eenn_rl.trajectory.overlay import Delta
from eenn_rl.trajectory.schema import TrajectoryError


def _writer_lock(path: Path) -> FileLock:
    """Held while a process writes `path`."""
    try:
        return FileLock(path.with_name(f".{path.name}.lock"))
    except BlockingIOError:
        raise TrajectoryError(
            f"{path}: expected no other writer, found one at work: wait for it or write elsewhere"
        ) from None
    except OSError as error:
        raise TrajectoryError(
            f"{path}: expected a folder that can be written to, found: {error.strerror}: choose another"
        ) from None


class PublishedFile:
    """The public file at `path` and its hidden copy; `handle` is the public one, open for reading (None: not yet)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._spare = path.with_name(f".{path.name}.work")
        self._old = path.with_name(f".{path.name}.old")
        self._lock = _writer_lock(path)
        self._clean()
        self.handle = os.open(path, os.O_RDWR | os.O_CLOEXEC) if path.exists() else None
        self._spare_handle: int | None = None
        self._lag: Delta | None = None

    def publish(self, delta: Delta) -> None:
        """Apply `delta` to the public file in one step, or raise `TrajectoryError` and change nothing."""
        try:
            spare = self._ready_spare(delta)
            _apply(spare, delta)
            os.fsync(spare)
            fcntl.flock(spare, fcntl.LOCK_UN)
            self._swap()
        except OSError as error:
            self._drop_spare()
            reason = FULL_DISK.get(error.errno or 0, error.strerror)
            raise TrajectoryError(
                f"{self.path}: expected room for {delta.written} more bytes, found {reason}: everything saved before "
                "is in the file; free some space and continue with --resume"
            ) from None
        self.handle, self._spare_handle = spare, self.handle
        self._lag = delta

    def close(self) -> None:
        """Remove the hidden copy and let the next writer in."""
        self._drop_spare()
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None
        self._lock.release()

    def _ready_spare(self, delta: Delta) -> int:
        """The hidden copy, equal to the public file and with room for `delta`, locked against readers."""
        if self._spare_handle is not None and not _lock_out_readers(self._spare_handle):
            # Somebody opened it while it was the public file: it stays theirs, unchanged.
            self._drop_spare()
        if self._spare_handle is None:
            self._spare_handle = self._fresh_spare()
        elif self._lag is not None:
            _apply(self._spare_handle, self._lag)
        self._lag = None
        have = os.fstat(self._spare_handle).st_size
        if delta.size > have:
            _reserve(self._spare_handle, have, delta.size - have)
        return self._spare_handle

    def _fresh_spare(self) -> int:
        spare = os.open(self._spare, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(spare, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self.handle is not None:
                os.lseek(self.handle, 0, os.SEEK_SET)
                with os.fdopen(self.handle, "rb", closefd=False) as source, os.fdopen(spare, "wb", closefd=False) as to:
                    shutil.copyfileobj(source, to, 1 << 20)
        except OSError:
            os.close(spare)
            raise
        return spare

    def _swap(self) -> None:
        """The hidden copy takes the public name; what was public becomes the hidden copy."""
        if self.handle is None:
            self._first()
            return
        try:
            os.link(self.path, self._old)
        except OSError:
            # No hard links on this file system: the public file's inode goes, and the next copy is made afresh.
            self._spare.replace(self.path)
            os.close(self.handle)
            self.handle = None
            return
        self._spare.replace(self.path)
        self._old.replace(self._spare)

    def _first(self) -> None:
        """Make the name public; a link, unlike a rename, refuses to replace a file that just appeared."""
        try:
            os.link(self._spare, self.path)
        except FileExistsError:
            raise
        except OSError:
            self._spare.replace(self.path)
        else:
            self._spare.unlink()

    def _drop_spare(self) -> None:
        if self._spare_handle is not None:
            os.close(self._spare_handle)
            self._spare_handle = None
        self._lag = None
        self._clean()

    def _clean(self) -> None:
        self._spare.unlink(missing_ok=True)
        self._old.unlink(missing_ok=True)


def _lock_out_readers(handle: int) -> bool:
    """HDF5 holds a shared lock on what it reads; False where somebody does."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _reserve(handle: int, start: int, size: int) -> None:
    """Room on the disk, where the file system can promise it."""
    try:
        os.posix_fallocate(handle, start, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV):
            raise


def _apply(handle: int, delta: Delta) -> None:
    for at, data in delta.writes:
        view = memoryview(data)
        while view:
            view = view[os.pwrite(handle, view, at + len(data) - len(view)) :]
    os.ftruncate(handle, delta.size)
