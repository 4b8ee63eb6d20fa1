"""StoredRun: a run folder as other verbs read it: configuration, results, accelerator, weights, costs."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from eenn_rl.architecture import Architecture
from eenn_rl.architecture_file import architecture_from_json
from eenn_rl.config import RunConfig
from eenn_rl.cost import CostReport
from eenn_rl.errors import InputFileError, InvalidValueError
from eenn_rl.guard import evaluate_safely
from eenn_rl.hardware import DEFAULT_ACCELERATOR, AcceleratorSpec, load_accelerator
from eenn_rl.problem import logged_accelerator
from eenn_rl.results import Results, Verified
from eenn_rl.run_folder import RunFolder, open_run
from eenn_rl.serialization import from_json
from eenn_rl.show import read_results
from eenn_rl.tables import AccuracyTables, ConfidenceRule
from eenn_rl.workload import workload_of

if TYPE_CHECKING:
    from eenn_rl.hookspecs import HardwareBackend


@dataclass(frozen=True, eq=False)
class StoredRun:
    """A run folder with its results, None where nothing has been verified yet."""

    folder: RunFolder
    config: RunConfig
    results: Results | None

    @cached_property
    def accelerator(self) -> AcceleratorSpec:
        """The accelerator that the run was for: as logged, so that an edited file changes nothing."""
        if not self.folder.trajectories.exists():
            return load_accelerator(self.config.accelerator or DEFAULT_ACCELERATOR)
        return logged_accelerator(self.folder.trajectories)

    @cached_property
    def confidence_rule(self) -> ConfidenceRule:
        """What the run took for confidence."""
        return AccuracyTables.load(self.folder.tables).confidence_rule

    def backend(self, architecture: Architecture) -> "HardwareBackend":
        """The run's backend; raises `BackendError` where it is not installed here."""
        from eenn_rl.plugins import make_backend

        return make_backend(self.config.backend, self.accelerator, architecture.backbone)

    def verified(self, number: int) -> Verified:
        """Verified architecture `number`, counted from 1 in the order that `show` lists."""
        if self.results is None:
            raise InvalidValueError(
                f"{self.folder.path}: expected a run with verified networks, found one before its phase "
                f"{self.folder.phase!r}: continue it with {self._continuation()}"
            )
        known = len(self.results.verified)
        if not 1 <= number <= known:
            expected = f"1 to {known}" if known else "none: this run verified no architecture"
            raise InvalidValueError(f"{self.folder.path}: architecture {number}: expected {expected}")
        return self.results.verified[number - 1]

    def _continuation(self) -> str:
        """The command that brings a run without verified networks to some."""
        path = self.folder.path
        resume, verify = f"eenn-rl train --run {path} --resume", f"eenn-rl verify {path}"
        if self.folder.phase != "verify":
            return f"{resume}, then {verify}" if self.config.search_only else resume
        return verify if self.config.search_only else f"{resume} or {verify}"

    def architecture(self, verified: Verified) -> Architecture:
        """The architecture of one of the results."""
        return architecture_from_json(verified.architecture, str(self.folder.results))

    def weights(self, verified: Verified) -> Path:
        """The file of trained weights."""
        path = self.folder.weights / Path(verified.weights).name
        if not path.is_file():
            raise InputFileError(f"{path}: expected the trained weights, found none: verify the run again")
        return path

    def cost(self, architecture: Architecture) -> CostReport:
        """What the run's backend says of `architecture`; raises `EennError` where it cannot."""
        return evaluate_safely(self.backend(architecture), workload_of(architecture))


def open_stored_run(path: Path) -> StoredRun:
    """The run in `path`, finished or not."""
    folder, config = open_run(path)
    return StoredRun(folder, from_json(RunConfig, config, str(folder.config)), read_results(folder))
