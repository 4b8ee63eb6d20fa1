"""Locks: one process at a time, and a plain word where a file system knows no locks."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eenn_rl.errors import EennError, InvalidValueError
from eenn_rl.lock import FileLock
from eenn_rl.places import held
from eenn_rl.trajectory.publish import PublishedFile


def test_a_lock_is_there_only_as_long_as_it_is_held(tmp_path: Path) -> None:
    """A second one is refused until then, also where a killed process left its file."""
    path = tmp_path / ".lock"
    code = (
        "import os, signal, sys; from pathlib import Path; from eenn_rl.lock import FileLock\n"
        "lock = FileLock(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.exists()
    lock = FileLock(path)
    with pytest.raises(BlockingIOError):
        FileLock(path)
    lock.release()
    lock.release()
    assert not path.exists()
    lock = FileLock(path)
    path.unlink()  # with its folder, which somebody made anew
    other = FileLock(path)
    lock.release()
    assert path.exists()
    other.release()


def _held(folder: Path) -> None:
    with held(folder, "run folder", "--run"):
        pass


TAKERS: dict[str, Callable[[Path], object]] = {"folder": _held, "log": lambda folder: PublishedFile(folder / "log.h5")}


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
@pytest.mark.parametrize("kind", TAKERS)
def test_a_file_system_without_locks_is_not_taken_for_another_process(
    kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to wait for one that is not there, but to choose another place."""

    def unable(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", unable)
    with pytest.raises(EennError, match=r"expected a file system that can lock files, found .*: choose a folder on"):
        TAKERS[kind](tmp_path)


def test_a_folder_that_is_held_keeps_nothing_of_it(tmp_path: Path) -> None:
    """Whoever comes meanwhile is refused, and afterwards the folder is as it was."""
    with held(tmp_path, "run folder", "--run"), pytest.raises(InvalidValueError, match="in use by another process"):
        _held(tmp_path)
    assert not list(tmp_path.iterdir())
