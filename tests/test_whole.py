"""Files that appear complete or not at all, whoever else writes to the same place."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from eenn_agents import checkpoint
from eenn_agents.policy_file import load_policy, save_policy, shipped_policy
from eenn_rl import report
from eenn_rl.networks.loop import load_state, save_state
from eenn_rl.problem import shipped_tables
from eenn_rl.run_folder import write_json
from eenn_rl.tables import AccuracyTables
from eenn_rl.whole import clear_unfinished, whole


def _policy(path: Path) -> None:
    policy = shipped_policy("resnet8")
    assert policy is not None
    save_policy(path, policy)


WRITERS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "tables": (lambda path: shipped_tables("digits", "resnet8").save(path), AccuracyTables.load),
    "json": (lambda path: write_json(path, [1]), Path.read_text),
    "weights": (lambda path: save_state(path, {"x": np.pi}), load_state),
    "checkpoint": (lambda path: checkpoint.save(path, {"x": np.pi}), checkpoint.load),
    "policy": (_policy, load_policy),
    "report": (lambda path: report._write(path, "<p>"), Path.read_text),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_two_writers_of_one_path_never_meet(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one that writes just before the first is done takes nothing from it, and one of the two files stays."""
    write, read = WRITERS[kind]
    path, replace = tmp_path / "file.npz", os.replace

    def after_another(*given: Path) -> None:
        monkeypatch.setattr(os, "replace", replace)
        write(path)
        replace(*given)

    monkeypatch.setattr(os, "replace", after_another)
    write(path)
    read(path)
    assert [found.name for found in tmp_path.iterdir()] == ["file.npz"]


def test_the_last_writer_stays(tmp_path: Path) -> None:
    """Each has a file of its own, in the same folder, until it is done."""
    path = tmp_path / "file"
    with whole(path) as first, whole(path) as second:
        assert first != second
        assert first.parent == second.parent == tmp_path
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """Whatever goes wrong, the file stays as it was, and nothing lies beside it."""
    path = tmp_path / "file"
    path.write_text("before")

    def fail() -> None:
        with whole(path) as unfinished:
            unfinished.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("file", "before")]


def test_a_file_has_the_permissions_of_a_new_one(tmp_path: Path) -> None:
    """Those that the umask leaves, as if it had been written in place."""
    before = os.umask(0o027)
    try:
        with whole(tmp_path / "file") as unfinished:
            unfinished.write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    """By the name that was asked for, not by that of the file beside it."""
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "none" / "file", tmp_path / "folder"):
        with pytest.raises(OSError, match=str(path)) as caught, whole(path) as unfinished:
            unfinished.write_text("x")
        assert caught.value.filename == str(path)
    assert [found.name for found in tmp_path.iterdir()] == ["folder"]


DYING = (
    "import os, signal, sys; from pathlib import Path; from eenn_rl.whole import whole\n"
    "with whole(Path(sys.argv[1])) as file: file.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
)


def killed(path: Path) -> None:
    """Let a process die while it writes `path`."""
    done = subprocess.run([sys.executable, "-c", DYING, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL


def test_what_killed_processes_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    """At the next write of the same file, or with all the others of a folder."""
    path, other = tmp_path / "a[1].json", tmp_path / "b.json"
    for each in (path, path, other):
        killed(each)
    assert len(list(tmp_path.iterdir())) == 2
    with whole(path) as unfinished:
        unfinished.write_text("whole")
        clear_unfinished(tmp_path)
        assert list(tmp_path.iterdir()) == [unfinished]
    assert list(tmp_path.iterdir()) == [path]


def test_it_works_where_files_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that nobody can tell then what is left of a killed process."""

    def unable(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    killed(tmp_path / "file")
    monkeypatch.setattr(fcntl, "flock", unable)
    with whole(tmp_path / "file") as unfinished:
        unfinished.write_text("x")
    assert (tmp_path / "file").read_text() == "x"
    assert len(list(tmp_path.iterdir())) == 2
