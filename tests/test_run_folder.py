"""The run folder: nothing of the user's is overwritten, and two writers never meet."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eenn_rl.errors import EennError
from eenn_rl.places import held
from eenn_rl.run_folder import create_run, locked, log_of, open_run


def test_a_new_run_folder_holds_its_configuration(tmp_path: Path) -> None:
    """What was stored is what is read back."""
    create_run(tmp_path / "a", {"seed": 3})
    folder, config = open_run(tmp_path / "a")
    assert config == {"seed": 3}
    assert folder.phase == "estimate"


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    """A run never writes into a folder with files in it, nor over a file."""
    (tmp_path / "notes.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(EennError, match="exists already"):
            create_run(path, {})
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_beginning_that_was_killed_is_begun_again(tmp_path: Path) -> None:
    """What it made before the configuration stood keeps no run out; anything more does, and `--resume` is no advice."""
    run = tmp_path / "run"
    code = (
        "import os, signal, sys; from pathlib import Path; from eenn_rl import run_folder\n"
        "run_folder.json.dumps = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "run_folder.create_run(Path(sys.argv[1]), {})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert {path.name for path in run.iterdir()} > {"weights", "checkpoints"}
    (run / "weights" / "mine.pt").touch()
    with pytest.raises(EennError, match=r"exists already: expected a new one; choose another --run$"):
        create_run(run, {})
    (run / "weights" / "mine.pt").unlink()
    create_run(run, {"seed": 3})
    assert {path.name for path in run.iterdir()} == {"weights", "checkpoints", "config.json"}
    with pytest.raises(EennError, match=r"choose another --run, or continue it with --resume$"):
        create_run(run, {})


def test_a_beginning_that_goes_on_is_not_taken_for_a_killed_one(tmp_path: Path) -> None:
    """Of two that begin in one folder at the same time one is refused, and the settings are the other one's."""
    run = tmp_path / "run"
    run.mkdir()
    with held(run, "run folder", "--run"), pytest.raises(EennError, match="in use by another process"):
        create_run(run, {})
    assert not list(run.iterdir())
    create_run(run, {"seed": 3})


@pytest.mark.parametrize("what", ["nothing", "file", "empty"])
def test_what_is_no_run_folder_is_told(tmp_path: Path, what: str) -> None:
    """A missing folder, a file and an empty folder each give one line that names the path."""
    path = tmp_path / "x"
    if what == "file":
        path.write_text("")
    elif what == "empty":
        path.mkdir()
    with pytest.raises(EennError, match=r"x: expected a run folder"):
        open_run(path)


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    """Another process cannot lock the folder; after the first lets go it can."""
    folder = create_run(tmp_path / "a", {})
    code = (
        "import sys; from pathlib import Path; from eenn_rl.run_folder import RunFolder, locked\n"
        "with locked(RunFolder(Path(sys.argv[1]))): pass"
    )
    command = [sys.executable, "-c", code, str(folder.path)]
    with locked(folder):
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "in use by another process" in refused.stderr
    subprocess.run(command, check=True)


def test_a_log_is_named_by_its_folder_too(tmp_path: Path) -> None:
    """A folder that has none yet says what brings it there; a file is itself."""
    log = tmp_path / "run" / "trajectories.h5"
    create_run(tmp_path / "run", {"seed": 1})
    with pytest.raises(EennError, match="found one before its phase 'estimate': continue it with eenn-rl train"):
        log_of(tmp_path / "run")
    log.touch()
    assert log_of(tmp_path / "run") == log_of(log) == log
    with pytest.raises(EennError, match=r"holds no config\.json"):
        log_of(tmp_path)
