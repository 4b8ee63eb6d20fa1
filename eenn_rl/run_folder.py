"""The run folder: what lies where, who may write to it, and how far the run has come."""

import json
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eenn_rl.errors import InputFileError, InvalidValueError
from eenn_rl.places import held, lock_of
from eenn_rl.serialization import read_json
from eenn_rl.whole import ENDING, whole

RUNS = Path("runs")


@dataclass(frozen=True)
class RunFolder:
    """Names of everything in a run folder."""

    path: Path

    @property
    def config(self) -> Path:
        """The whole configuration, as JSON."""
        return self.path / "config.json"

    @property
    def tables(self) -> Path:
        """The estimator's tables; present once that phase is done."""
        return self.path / "tables.npz"

    @property
    def trajectories(self) -> Path:
        """Every episode and verification."""
        return self.path / "trajectories.h5"

    @property
    def search(self) -> Path:
        """The best architectures found; present once the search is done."""
        return self.path / "search.json"

    @property
    def results(self) -> Path:
        """What was verified; present once the run is finished."""
        return self.path / "verification.json"

    @property
    def weights(self) -> Path:
        """Folder of trained weights."""
        return self.path / "weights"

    @property
    def shared_weights(self) -> Path:
        """The shared weights that the tables were measured with; not there where tables were given."""
        return self.weights / "supernet.pt"

    @property
    def images(self) -> Path:
        """The images that the run began with (`eenn_rl.images`); there only where they are a user's folder."""
        return self.path / "images.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of unfinished work."""
        return self.path / "checkpoints"

    @property
    def costs(self) -> Path:
        """What a slow backend said; there only where one was slow."""
        return self.checkpoints / "costs.sqlite"

    @property
    def log(self) -> Path:
        """What was said while it ran."""
        return self.path / "run.log"

    @property
    def phase(self) -> str:
        """The phase that a resumed run would enter: estimate, search, verify or finished."""
        if self.results.exists():
            return "finished"
        if self.search.exists():
            return "verify"
        return "search" if self.tables.exists() else "estimate"


def write_json(path: Path, data: Any) -> None:
    """Write `data` so that a reader never sees half a file."""
    with whole(path) as unfinished:
        unfinished.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def create_run(path: Path, config: Any) -> RunFolder:
    """A new run folder holding `config`; one that holds more than what a kill right here leaves is refused."""
    folder = RunFolder(path)
    _check_new(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValueError(f"run folder {path} cannot be made ({error.strerror}): choose another --run") from None
    with locked(folder):
        _check_new(folder)  # again: somebody else may have begun here meanwhile
        folder.weights.mkdir(exist_ok=True)
        folder.checkpoints.mkdir(exist_ok=True)
        write_json(folder.config, config)
    return folder


def _check_new(folder: RunFolder) -> None:
    path = folder.path
    if path.exists() and not (path.is_dir() and all(_is_beginning(folder, item) for item in path.iterdir())):
        instead = ", or continue it with --resume" if folder.config.exists() else ""
        raise InvalidValueError(f"run folder {path} exists already: expected a new one; choose another --run{instead}")


def _is_beginning(folder: RunFolder, item: Path) -> bool:
    """Whether `item` is of what `create_run` makes before the configuration stands; the lock is everybody's."""
    if item in (folder.weights, folder.checkpoints):
        return item.is_dir() and not any(item.iterdir())
    return item == lock_of(folder.path) or item.match(f".{folder.config.name}.*{ENDING}")


def open_run(path: Path) -> tuple[RunFolder, Any]:
    """An existing run folder and its stored configuration."""
    folder = RunFolder(path)
    if not path.is_dir():
        raise InputFileError(
            f"{path}: expected a run folder, found {'a file' if path.exists() else 'nothing'}: see runs/"
        )
    if not folder.config.exists():
        raise InputFileError(
            f"{path}: expected a run folder, but it holds no config.json: give the folder that train printed"
        )
    return folder, read_json(folder.config)


def log_of(path: Path) -> Path:
    """The log that a user names by its file, or by its run folder; refused where that has none yet."""
    if not path.is_dir():
        return path
    folder = RunFolder(path)
    if not folder.trajectories.exists():
        open_run(path)
        raise InputFileError(
            f"{path}: expected a run that has begun its search, found one before its phase {folder.phase!r}: "
            f"continue it with eenn-rl train --run {path} --resume"
        )
    return folder.trajectories


def new_run_path(seed: int) -> Path:
    """``runs/<time>-<seed>``, never one that exists."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{seed}"
    candidates = (RUNS / (stem + suffix) for suffix in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(path for path in candidates if not path.exists())


def newest_run() -> Path | None:
    """The newest folder under runs/ that holds a run."""
    found = [path for path in RUNS.glob("*") if (path / "config.json").exists()] if RUNS.is_dir() else []
    return max(found, key=lambda path: (path / "config.json").stat().st_mtime, default=None)


def locked(folder: RunFolder) -> AbstractContextManager[None]:
    """Hold the run folder, as `held` does: a second writer is refused."""
    return held(folder.path, "run folder", "--run")
