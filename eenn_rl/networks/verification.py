"""Many full trainings at once: `train_and_measure` gives what every network says of validation and test images.

Each training is one process with one thread, so that its result depends on neither the number of processes nor their
order. Processes share nothing but the folder of checkpoints: a claim file says who trains what, a stop file ends them.
"""

import hashlib
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from eenn_rl.architecture import Architecture, Exit
from eenn_rl.backbone import Backbone
from eenn_rl.branches import CLASSIFIER
from eenn_rl.errors import FULL_DISK, EennError, check
from eenn_rl.levels import confidence_levels
from eenn_rl.networks.allocation import kept_memory
from eenn_rl.networks.confidence import confidence, fit_temperature
from eenn_rl.networks.data import Dataset
from eenn_rl.networks.loop import save_state, threads
from eenn_rl.networks.settings import TrainingSettings, training_settings_for
from eenn_rl.networks.supernet import Supernet
from eenn_rl.networks.training import TrainedNetwork, train_full, train_plain, training_identity
from eenn_rl.progress import NullProgress, Progress
from eenn_rl.tables import ConfidenceRule
from eenn_rl.whole import clear_unfinished, whole

POLL_S = 0.25


@dataclass(frozen=True, eq=False)
class Outcome:
    """What each exit says of one split: confidence levels uint8 [exits, N], correct bool [exits, N]; groups [N].

    `groups` names the original of each image (see `Dataset`).
    """

    levels: npt.NDArray[np.uint8]
    correct: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MeasuredNetwork:
    """A network trained in full. `temperatures` [exits] were fitted on validation; `weights` is where it lies."""

    architecture: Architecture
    validation: Outcome
    test: Outcome
    temperatures: tuple[float, ...]
    weights: Path

    @property
    def is_static(self) -> bool:
        """Whether it has no early exit."""
        return len(self.architecture.exits) == 1


def static_architecture(backbone: Backbone, bits: int) -> Architecture:
    """`backbone` without early exits, on allocation 0 (training does not depend on cores)."""
    return Architecture(backbone, (Exit(len(backbone.blocks) - 1, CLASSIFIER, bits, 0, 0),))


@dataclass(frozen=True)
class _Job:
    """One training, as a process receives it."""

    key: str
    architecture: Architecture
    settings: TrainingSettings
    seed: int
    rule: ConfidenceRule
    calibrated: bool

    def file(self, folder: Path, kind: str) -> Path:
        return folder / f"{self.key}.{kind}"


class _FileProgress(NullProgress):
    """Tells the parent how far a training is, through a file, and ends it when the parent asks or is gone."""

    def __init__(self, file: Path, stop: Path, parent: int) -> None:
        self.file, self.stop, self.parent, self.told, self.total = file, stop, parent, 0.0, 1.0

    def phase(self, name: str, total: float | None = None) -> None:  # noqa: ARG002 - the protocol's signature
        self.total = total or 1.0

    def advance(self, done: float, **facts: float | str) -> None:  # noqa: ARG002 - the protocol's signature
        if time.monotonic() - self.told < POLL_S:
            return
        self.told = time.monotonic()
        with whole(self.file) as unfinished:
            unfinished.write_text(str(done / self.total), encoding="ascii")
        if self.stop.exists() or (self.parent and os.getppid() != self.parent):
            raise KeyboardInterrupt


def _outcome(logits: npt.NDArray[np.float32], labels: torch.Tensor, groups: torch.Tensor, rule: ConfidenceRule,
             temperatures: Sequence[float]) -> Outcome:  # fmt: skip
    sure = [confidence(torch.from_numpy(rows), rule, t).numpy() for rows, t in zip(logits, temperatures, strict=True)]
    correct = logits.argmax(2) == labels.cpu().numpy()
    return Outcome(confidence_levels(np.stack(sure)), correct, groups.cpu().numpy())


@kept_memory()
def measure_network(
    trained: TrainedNetwork,
    dataset: Dataset,
    weights: Path,
    *,
    rule: ConfidenceRule = "max_softmax",
    calibrated: bool = True,
) -> MeasuredNetwork:
    """What `trained`, whose weights lie in `weights`, says of validation (`Dataset.judged_images`) and test images."""
    images, labels, groups = dataset.judged_images()
    logits = trained.logits(dataset, images)
    known = labels.cpu()
    temperatures = [fit_temperature(torch.from_numpy(rows), known) if calibrated else 1.0 for rows in logits]
    validation = _outcome(logits, labels, groups, rule, temperatures)
    logits = trained.logits(dataset, dataset.test_x)
    test = _outcome(logits, dataset.test_y, dataset.test_groups, rule, temperatures)
    return MeasuredNetwork(trained.architecture, validation, test, tuple(temperatures), weights)


def _arrays(network: MeasuredNetwork) -> dict[str, npt.NDArray[np.generic]]:
    """A measured network as the arrays of a file, its architecture and weights aside."""
    parts = {"validation": network.validation, "test": network.test}
    arrays = {f"{name}_{field}": value for name, part in parts.items() for field, value in vars(part).items()}
    return {"temperatures": np.array(network.temperatures, np.float64), **arrays}


def _finish(job: _Job, dataset: Dataset, shared: Supernet | None, folder: Path, progress: Progress) -> None:
    """Train, measure, and leave weights and outcomes in `folder`."""
    checkpoint = job.file(folder, "checkpoint")
    trained = train_full(job.architecture, dataset, job.settings, job.seed, progress, checkpoint, shared)
    save_state(job.file(folder, "pt"), {"identity": job.key, "network": trained.network.state_dict()})
    network = measure_network(
        trained, dataset, job.file(folder, "pt"), rule=job.rule, calibrated=job.calibrated
    )  # fmt: skip
    with whole(job.file(folder, "npz")) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, **_arrays(network))  # type: ignore[arg-type]
    checkpoint.unlink(missing_ok=True)


def _read(job: _Job, architecture: Architecture, folder: Path) -> MeasuredNetwork:
    with np.load(job.file(folder, "npz"), allow_pickle=False) as arrays:
        parts = {
            name: Outcome(*(arrays[f"{name}_{field}"] for field in ("levels", "correct", "groups")))
            for name in ("validation", "test")
        }
        temperatures = tuple(float(t) for t in arrays["temperatures"])
    return MeasuredNetwork(architecture, parts["validation"], parts["test"], temperatures, job.file(folder, "pt"))


def _claim(job: _Job, folder: Path) -> bool:
    try:
        os.close(os.open(job.file(folder, "claim"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _work(jobs: Sequence[_Job], dataset: Dataset, pickled: bytes, device: str, folder: Path, parent: int) -> None:
    """A worker process: train whatever nobody else has claimed. `pickled` are the shared weights, or None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, through the stop file
    torch.set_num_threads(1)
    shared: Supernet | None = pickle.loads(pickled)  # noqa: S301 - the parent's own
    dataset = dataset.to(device)
    for job in jobs:
        try:
            if not _claim(job, folder):
                continue
            _finish(job, dataset, shared, folder, _FileProgress(job.file(folder, "progress"), folder / "stop", parent))
        except KeyboardInterrupt:
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, the parent raises it
            if isinstance(error, OSError) and error.errno in FULL_DISK:
                sys.exit(error.errno)  # there is no room for a file that says so
            with whole(job.file(folder, "error")) as unfinished:  # so that the parent never reads half of it
                unfinished.write_text(traceback.format_exc(), encoding="utf-8")
            return


def _done(job: _Job, folder: Path) -> float:
    """Share of a training that is done."""
    if job.file(folder, "npz").exists():
        return 1.0
    try:
        return float(job.file(folder, "progress").read_text(encoding="ascii") or 0)
    except (FileNotFoundError, ValueError):
        return 0.0


def _run_processes(
    jobs: Sequence[_Job], dataset: Dataset, shared: Supernet | None, device: str, folder: Path, progress: Progress,
    workers: int,
) -> None:  # fmt: skip
    context = multiprocessing.get_context("spawn")
    # As bytes: each tensor by itself would hold a file open, and shared weights are thousands.
    arguments = (jobs, dataset, pickle.dumps(shared), device, folder, os.getpid())
    processes = [context.Process(target=_work, args=arguments, daemon=True) for _ in range(min(workers, len(jobs)))]
    for process in processes:
        process.start()
    try:
        while any(process.is_alive() for process in processes):
            time.sleep(POLL_S)
            progress.advance(sum(_done(job, folder) for job in jobs))
            _raise_error(jobs, folder, processes)
    finally:
        (folder / "stop").touch()
        for process in processes:
            process.join(20)
            if process.is_alive():
                process.terminate()
        _clear(folder)
    _raise_error(jobs, folder, processes)


def _raise_error(jobs: Sequence[_Job], folder: Path, processes: Sequence[SpawnProcess]) -> None:
    """Raise what a process told in a file, or what its exit status does: a full disk, or that it was killed."""
    for job in jobs:
        if job.file(folder, "error").exists():
            raise RuntimeError("a training process failed:\n" + job.file(folder, "error").read_text(encoding="utf-8"))
    for status in filter(None, (process.exitcode for process in processes)):
        if status in FULL_DISK:
            raise OSError(status, os.strerror(status), str(folder))
        ended = f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
        raise EennError(
            f"expected every training process to finish, found one {ended} (perhaps memory ran out): continue the run "
            "with --resume, with fewer --workers if need be"
        )


def _clear(folder: Path) -> None:
    for pattern in ("*.claim", "*.progress", "stop"):
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)
    clear_unfinished(folder)


class _Shifted(NullProgress):
    """Progress of one training among several, as a share of all."""

    def __init__(self, inner: Progress, before: int) -> None:
        self.inner, self.before, self.total = inner, before, 1.0

    def phase(self, name: str, total: float | None = None) -> None:  # noqa: ARG002
        self.total = total or 1.0

    def advance(self, done: float, **facts: float | str) -> None:
        self.inner.advance(self.before + done / self.total, **facts)


def train_and_measure(
    architectures: Sequence[Architecture],
    dataset: Dataset,
    settings: TrainingSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    checkpoint_dir: Path,
    static_bits: Sequence[int] = (8, 4, 2),
    workers: int = 2,
    rule: ConfidenceRule = "max_softmax",
    calibrated: bool = True,
    device: str = "cpu",
    shared: Supernet | None = None,
) -> list[MeasuredNetwork]:
    """Train the static baselines at `static_bits`, then `architectures`, in full, and measure all of them.

    Where `shared` weights are given and the settings do not say otherwise, every network begins with them.

    The answer holds the static networks first, in the order of `static_bits`, then the others in theirs. What lies
    finished in `checkpoint_dir` is not trained again, and what was begun is continued.
    """
    check(len(architectures) >= 1, "architectures", architectures, "at least one")
    statics = [static_architecture(architectures[0].backbone, bits) for bits in static_bits]
    settings = training_settings_for(dataset.name, settings or TrainingSettings())
    wanted = [*statics, *architectures]
    shared = shared if settings.begin == "shared" else None
    jobs = [_job(one, dataset, shared, settings, seed, rule, calibrated=calibrated) for one in wanted]
    checkpoint_dir.mkdir(parents=True, exist_ok=True)
    _clear(checkpoint_dir)
    open_jobs = [job for job in dict.fromkeys(jobs) if not job.file(checkpoint_dir, "npz").exists()]
    progress = progress or NullProgress()
    if open_jobs and settings.plain_share and shared is None:
        with threads(1):
            train_plain(architectures[0].backbone, dataset.to(device), settings, seed, progress, checkpoint_dir)
    progress.phase("full training", len(open_jobs))
    for job in open_jobs:
        job.file(checkpoint_dir, "error").unlink(missing_ok=True)
    if workers > 1 and len(open_jobs) > 1:
        _run_processes(open_jobs, dataset, shared, device, checkpoint_dir, progress, workers)
    else:
        _run_here(open_jobs, dataset.to(device), shared, checkpoint_dir, progress)
    return [_read(job, architecture, checkpoint_dir) for job, architecture in zip(jobs, wanted, strict=True)]


def _run_here(
    jobs: Sequence[_Job], dataset: Dataset, shared: Supernet | None, folder: Path, progress: Progress
) -> None:
    with threads(1):
        for before, job in enumerate(jobs):
            _finish(job, dataset, shared, folder, _Shifted(progress, before))


def _job(architecture: Architecture, dataset: Dataset, shared: Supernet | None, settings: TrainingSettings, seed: int,
         rule: ConfidenceRule, *, calibrated: bool) -> _Job:  # fmt: skip
    """The job of training `architecture`; those that differ in cores alone are the same job."""
    on_core_0 = Architecture(
        architecture.backbone, tuple(Exit(e.location, e.branch, e.bits, 0, 0) for e in architecture.exits)
    )
    identity = f"{training_identity(on_core_0, dataset, settings, seed, shared)}/{rule}/{calibrated}"
    identity += "/mirrored" if dataset.mirrors else ""
    key = hashlib.sha256(identity.encode()).hexdigest()[:20]
    return _Job(key, on_core_0, settings, seed, rule, calibrated)
