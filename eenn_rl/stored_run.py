"""StoredRun: a run as other verbs read it, from its folder or from its log alone: configuration, results, costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eenn_rl.architecture import Architecture
from eenn_rl.architecture_file import architecture_from_json, check_architecture
from eenn_rl.config import RunConfig
from eenn_rl.cost import CostReport
from eenn_rl.errors import InputFileError, InvalidValueError
from eenn_rl.guard import evaluate_safely
from eenn_rl.hardware import DEFAULT_ACCELERATOR, AcceleratorSpec, load_accelerator
from eenn_rl.images import ImageRecord, read_images
from eenn_rl.problem import logged_accelerator
from eenn_rl.results import Candidate, Found, Results, Verified
from eenn_rl.run_folder import RunFolder, open_run
from eenn_rl.serialization import from_json, read_json
from eenn_rl.tables import AccuracyTables, ConfidenceRule
from eenn_rl.workload import workload_of

if TYPE_CHECKING:
    from eenn_rl.hookspecs import HardwareBackend


LOG_ALONE = {
    "search": "what was logged so far: a search that goes on, or was not verified; going on needs its run folder",
    "verify": "a search result, not verified networks; to verify them needs the run folder",
    "finished": "its verified networks were logged without what they were measured against (as eenn-rl once did): for "
    "these results see the run folder; eenn-rl export has each network's own numbers",
}
"""What to say of a log without results, by the phase of its run."""


@dataclass(frozen=True, eq=False)
class StoredRun:
    """A run: `path` is its folder, or its log where that is all there is (`folder` is None then).

    `results` and `found` are None where nothing has been verified, or the search is not finished; of a log alone
    `found` is what was logged so far.
    """

    path: Path
    log: Path
    phase: str
    settings: dict[str, Any]
    results: Results | None
    found: Found | None
    folder: RunFolder | None = None

    @property
    def alone(self) -> str:
        """What to say of a log alone where it has no results; empty for a run folder."""
        return "" if self.folder else LOG_ALONE[self.phase]

    @cached_property
    def config(self) -> RunConfig:
        """Its settings; raises `InputFileError` where another version's are unknown here."""
        return from_json(RunConfig, self.settings, str(self.folder.config if self.folder else f"{self.path}: config"))

    @cached_property
    def accelerator(self) -> AcceleratorSpec:
        """The accelerator that the run was for: as logged, so that an edited file changes nothing."""
        if not self.log.exists():
            return load_accelerator(self.config.accelerator or DEFAULT_ACCELERATOR)
        return logged_accelerator(self.log)

    @cached_property
    def images(self) -> ImageRecord | None:
        """What is known of the user's folder of images; None of other data, and of a log alone."""
        return read_images(self.folder.images) if self.folder else None

    @cached_property
    def confidence_rule(self) -> ConfidenceRule:
        """What the run took for confidence."""
        return AccuracyTables.load(self._folder.tables).confidence_rule

    def backend(self, architecture: Architecture) -> "HardwareBackend":
        """The run's backend; raises `BackendError` where it is not installed here."""
        from eenn_rl.plugins import make_backend

        return make_backend(self.config.backend, self.accelerator, architecture.backbone)

    def verified(self, number: int) -> Verified:
        """Verified architecture `number`, counted from 1 in the order that `show` lists."""
        if self.results is None:
            raise InvalidValueError(
                f"{self.path}: expected a run with verified networks, found one before its phase "
                f"{self.phase!r}: continue it with {self._continuation()}"
            )
        known = len(self.results.verified)
        if not 1 <= number <= known:
            expected = f"1 to {known}" if known else "none: this run verified no architecture"
            raise InvalidValueError(f"{self.path}: architecture {number}: expected {expected}")
        return self.results.verified[number - 1]

    def _continuation(self) -> str:
        """The command that brings a run without verified networks to some."""
        resume, verify = f"eenn-rl train --run {self.path} --resume", f"eenn-rl verify {self.path}"
        if self.phase != "verify":
            return f"{resume}, then {verify}" if self.config.search_only else resume
        return verify if self.config.search_only else f"{resume} or {verify}"

    def architecture(self, verified: Verified) -> Architecture:
        """The architecture of one of the results."""
        return architecture_from_json(verified.architecture, str(self.path))

    def weights(self, verified: Verified) -> Path:
        """The file of trained weights."""
        path = self._folder.weights / Path(verified.weights).name
        if not path.is_file():
            raise InputFileError(f"{path}: expected the trained weights, found none: verify the run again")
        return path

    @property
    def _folder(self) -> RunFolder:
        if self.folder is None:
            raise InputFileError(f"{self.path}: expected a run folder, which has the weights, found a log alone")
        return self.folder

    def cost(self, architecture: Architecture) -> CostReport:
        """What the run's backend says of `architecture`; raises `EennError` where it cannot."""
        return evaluate_safely(self.backend(architecture), workload_of(architecture))


def read_results(folder: RunFolder) -> Results | None:
    """What was verified; None while the run is not finished."""
    if not folder.results.exists():
        return None
    results = from_json(Results, read_json(folder.results), str(folder.results))
    _check_architectures(results.verified, f"{folder.results}: verified")
    return results


def read_found(folder: RunFolder) -> Found | None:
    """What the search found; None while it is not finished."""
    if not folder.search.exists():
        return None
    found = from_json(Found, read_json(folder.search), str(folder.search))
    _check_architectures(found.candidates, f"{folder.search}: candidates")
    return found


def _check_architectures(items: Sequence[Candidate | Verified], source: str) -> None:
    for number, item in enumerate(items):
        exits = len(item.predicted.exit_rates)
        check_architecture(item.architecture, exits, f"{source}.{number}.architecture")


def open_stored_run(path: Path) -> StoredRun:
    """The run in the folder `path`, finished or not."""
    folder, stored = open_run(path)
    if not isinstance(stored, dict):
        raise InputFileError(f"{folder.config}: expected settings by name, found a {type(stored).__name__}")
    return StoredRun(
        path, folder.trajectories, folder.phase, stored, read_results(folder), read_found(folder), folder
    )  # fmt: skip


def open_run_or_log(path: Path) -> StoredRun:
    """The run in the folder `path`, or that of the log `path`: all that others may have of it."""
    if not path.is_file():
        return open_stored_run(path)
    from eenn_rl.logged_run import logged_found, logged_results, logged_settings
    from eenn_rl.trajectory import open_log

    with open_log(path) as log:
        phase = "finished" if log.verifications() else ("verify" if log.finished else "search")
        return StoredRun(path, path, phase, logged_settings(log), logged_results(log), logged_found(log))
