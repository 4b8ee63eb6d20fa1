"""The main job: estimate -> search -> train in full -> verify. Each phase leaves its result in the run folder.

A phase whose result is there is not done again; one that was interrupted continues from its checkpoint.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eenn_rl.broken import nothing_found_in
from eenn_rl.config import WITHOUT_EFFECT, RunConfig, differences, make_config, read_config_file
from eenn_rl.display import Display
from eenn_rl.errors import InputFileError, InvalidValueError
from eenn_rl.evaluator import Evaluator
from eenn_rl.findings import summarise
from eenn_rl.guard import failure_summary
from eenn_rl.options import merge, settings_of
from eenn_rl.paths import bare, located
from eenn_rl.places import check_folder
from eenn_rl.plugins import make_backend
from eenn_rl.problem import (
    accelerator_of,
    broken_promises,
    data_form,
    given_tables,
    make_evaluator,
    on_data_of_tables,
)
from eenn_rl.progress import Progress
from eenn_rl.results import Found
from eenn_rl.run_folder import RUNS, RunFolder, create_run, locked, new_run_path, newest_run, open_run, write_json
from eenn_rl.search import POLICY_SETTINGS
from eenn_rl.serialization import from_json, read_json, to_json
from eenn_rl.space import SearchSpace
from eenn_rl.tables import AccuracyTables
from eenn_rl.unchanged import check_images
from eenn_rl.verify import verify_best
from eenn_rl.zoo import make_backbone

if TYPE_CHECKING:
    from eenn_rl.networks.data import Dataset
    from eenn_rl.search import SearchResult


def train(given: Mapping[str, Any], *, run: Path | None, resume: bool, config: Path | None) -> RunFolder:
    """Do the main job in a new run folder, or continue one; returns the finished folder.

    `given` is what the user typed (in the form of `RunConfig`), `config` a file of settings below it.
    """
    known = run is None or (run / "config.json").exists()
    folder, settings, dataset = _prepare(given, run=run, resume=resume, config=config)
    with locked(folder), Display(folder.log) as display:
        try:
            if resume and not known:
                display.note(f"--resume: nothing to continue in {run}: a new run begins there")
            for line in _warnings(folder, settings, given):
                display.note(line)
            finish(folder, settings, dataset, display)
        except KeyboardInterrupt:
            display.note(f"interrupted, all work is saved; continue with: eenn-rl train --run {folder.path} --resume")
            raise
    return folder


def _warnings(folder: RunFolder, settings: RunConfig, given: Mapping[str, Any]) -> Iterator[str]:
    """What the user may have expected and will not get."""
    if settings.tables is not None and data_form(settings.dataset) is None:
        yield (
            f"the tables are of data set {settings.dataset!r}, which is not here: to verify what is found, begin with "
            "--dataset FOLDER, that of its images"
        )
    if given.get("verify") and settings.search_only and not folder.results.exists():
        yield (
            f"--verify {settings.verify} has no effect yet: a search on given tables verifies nothing; eenn-rl verify "
            f"{folder.path} does afterwards"
        )
    typed = [(item.flag, item.path) for item in settings_of(RunConfig) if _typed(given, item.path)]
    idle = [flag for flag, path in typed if path[0] in ("supernet", "threads")]
    if settings.tables is not None and idle:
        yield f"{', '.join(idle)}: no effect with --tables, as no shared weights are trained"
    idle = [flag for flag, path in typed if path[0] == "search" and path[-1] in POLICY_SETTINGS]
    if idle and _without_policy(settings):
        yield f"{', '.join(idle)}: no effect with --agent {settings.search.agent}, which has no policy"


def _typed(given: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    group = given.get(path[0])
    return (isinstance(group, Mapping) and path[1] in group) if len(path) > 1 else group is not None


def _without_policy(settings: RunConfig) -> bool:
    from eenn_agents.registry import uses_no_policy

    return uses_no_policy(settings.search.agent)


def _prepare(
    given: Mapping[str, Any], *, run: Path | None, resume: bool, config: Path | None
) -> "tuple[RunFolder, RunConfig, LazyDataset]":
    if resume:
        run = run or _newest_run()
        if (run / "config.json").exists():
            folder, settings = _reopen(run, given, config)
            return folder, settings, LazyDataset(settings)
    base = read_config_file(config) if config else {}
    settings = make_config(given, base, str(config))
    if "dataset" not in {**base, **given}:
        settings = on_data_of_tables(settings)
    settings = located(settings)
    _check_names(settings)
    dataset = LazyDataset(settings)
    if settings.tables is None or settings.guessed:
        dataset.load()
    return create_run(run or new_run_path(settings.seed), to_json(settings)), settings, dataset


def _newest_run() -> Path:
    found = newest_run()
    if found is None:
        raise InputFileError(
            f"--resume: expected a run in {RUNS}/, found none: give its folder with --run, or leave out --resume"
        )
    return found


def _reopen(run: Path, given: Mapping[str, Any], config: Path | None) -> tuple[RunFolder, RunConfig]:
    """The run to continue; settings that differ from the stored ones are refused, but for those without effect."""
    folder, stored = open_run(run)
    wanted = located(make_config(merge(read_config_file(config) if config else {}, dict(given)), stored))
    free = {name: getattr(wanted, name) for name in WITHOUT_EFFECT}
    settings = replace(from_json(RunConfig, stored, str(folder.config)), **free)
    changed = differences(located(settings), to_json(wanted))
    if changed:
        raise InvalidValueError(
            f"{run} was begun with other settings ({'; '.join(changed)}): resume it without them, or start a new run"
        )
    return folder, settings


def _check_names(settings: RunConfig) -> None:
    """Refuse what cannot work before a run folder is made: names, files, and combinations of them."""
    from eenn_agents.precheck import check_search
    from eenn_rl.networks.data import device_of

    device_of(settings.device)
    if settings.guessed and len(settings.bits) != 1:
        raise InvalidValueError(
            f"--tables {settings.tables}: expected one bit-width, as such scores do not see what rounding costs, "
            f"found {', '.join(map(str, settings.bits))}: choose one, for example --bits 8"
        )
    tables = given_tables(settings)
    if tables is not None:
        space = make_evaluator(settings, tables).space
    else:
        form = data_form(settings.dataset)
        backbone = make_backbone(settings.backbone, *form) if form else make_backbone(settings.backbone)
        accelerator = accelerator_of(settings)
        make_backend(settings.backend, accelerator, backbone)
        space = SearchSpace(backbone, accelerator, settings.branches, settings.bits, settings.max_exits)
    check_search(settings.search, space)
    scalars = settings.search.tensorboard
    if scalars and Path(scalars).is_absolute():
        check_folder(Path(scalars), "--tensorboard")


def finish(folder: RunFolder, settings: RunConfig, dataset: "LazyDataset", progress: Progress) -> None:
    """Every phase that is not done yet."""
    progress.note(f"run folder: {folder.path}")
    if folder.results.exists():
        progress.note("this run is finished; look at it with: eenn-rl show " + str(folder.path))
        return
    scalars = _scalars(folder, settings)
    if scalars is not None:
        check_folder(scalars, "--tensorboard")
    check_images(folder, settings.dataset)
    tables = estimate(folder, settings, dataset, progress)
    evaluator = make_evaluator(settings, tables, folder)
    found = search(folder, settings, evaluator, progress)
    if evaluator.failure_reasons:
        progress.note(failure_summary(evaluator.failure_reasons, evaluator.distinct))
    if settings.search_only or not found.candidates:
        _mark_finished(folder)
    if not found.candidates:
        progress.note(nothing_found_in(folder.trajectories))
        return
    if settings.search_only:
        progress.note(f"a search result, not verified networks; verify with: eenn-rl verify {folder.path}")
        return
    verify_best(folder, settings, evaluator, dataset.load(), found, settings.verify, progress)


def _mark_finished(folder: RunFolder) -> None:
    """Let the log of a run that ends with its search say that it is complete."""
    from eenn_rl.trajectory import TrajectoryWriter, open_log

    with open_log(folder.trajectories) as log:
        finished = log.finished
    if not finished:
        TrajectoryWriter.resume(folder.trajectories).close(finished=True)


def _scalars(folder: RunFolder, settings: RunConfig) -> Path | None:
    """Where TensorBoard's scalars go."""
    named = settings.search.tensorboard
    return folder.path / named if named else None


class LazyDataset:
    """The data set, loaded when a phase first needs it, on the device that the run trains on."""

    def __init__(self, settings: RunConfig) -> None:
        self._settings = settings
        self._loaded: Dataset | None = None

    def load(self) -> "Dataset":
        """The data set; raises `EennError` where it cannot be had."""
        from eenn_rl.networks.data import device_of, load_dataset

        if self._loaded is None:
            device, root = device_of(self._settings.device), self._settings.data_root
            self._loaded = load_dataset(self._settings.dataset, Path(root) if root else None).to(device)
        return self._loaded


def estimate(folder: RunFolder, settings: RunConfig, dataset: LazyDataset, progress: Progress) -> AccuracyTables:
    """The accuracy tables: those that the settings name, or guess, or measured with shared weights made for them."""
    if not folder.tables.exists():
        make = _guessed_tables if settings.guessed else _measured_tables
        tables = given_tables(settings) or make(folder, settings, dataset.load(), progress)
        tables.save(folder.tables)
    return AccuracyTables.load(folder.tables)


def _measured_tables(folder: RunFolder, settings: RunConfig, dataset: "Dataset", progress: Progress) -> AccuracyTables:
    from eenn_rl.networks.loop import threads
    from eenn_rl.networks.measure import measure_tables
    from eenn_rl.networks.supernet import train_supernet

    backbone = make_backbone(settings.backbone, dataset.input_shape, dataset.num_classes)
    with threads(settings.threads):
        supernet = train_supernet(
            backbone, dataset, settings.supernet, settings.seed, progress, folder.checkpoints,
            branches=settings.branches, bits=settings.bits,
        )  # fmt: skip
        supernet.save(folder.shared_weights)
        return measure_tables(
            supernet, dataset, rule=settings.confidence_rule, calibrated=settings.calibrated, progress=progress,
            checkpoint=folder.checkpoints / "measure.pt",
        )  # fmt: skip


def _guessed_tables(_: RunFolder, settings: RunConfig, dataset: "Dataset", progress: Progress) -> AccuracyTables:
    from eenn_rl.networks.guess import guess_tables

    backbone = make_backbone(settings.backbone, dataset.input_shape, dataset.num_classes)
    progress.note(f"accuracies are guessed from {settings.tables}: they rank networks and promise nothing")
    return guess_tables(
        str(settings.tables), backbone, dataset, settings.seed, progress,
        branches=settings.branches, bits=settings.bits, rule=settings.confidence_rule,
    )  # fmt: skip


def search(folder: RunFolder, settings: RunConfig, evaluator: Evaluator, progress: Progress) -> Found:
    """Let the agent spend its budget; what it found, from this process or an earlier one."""
    if not folder.search.exists():
        found = summarise(evaluator, _searched(folder, settings, evaluator, progress))
        write_json(folder.search, to_json(found))
    return from_json(Found, read_json(folder.search), str(folder.search))


def _searched(folder: RunFolder, settings: RunConfig, evaluator: Evaluator, progress: Progress) -> "SearchResult":
    from eenn_agents.search import search as agent_search
    from eenn_rl.replay import describe
    from eenn_rl.trajectory import TrajectoryWriter

    meta = describe(evaluator, settings.backend, config=to_json(bare(settings)), seeds={"seed": settings.seed})
    known = folder.trajectories.exists()
    for line in () if known else broken_promises(settings, evaluator.space):
        progress.note(line)
    progress.note(f"search space: {evaluator.space.size:,} architectures")
    with (
        TrajectoryWriter.resume(folder.trajectories, meta)
        if known
        else TrajectoryWriter.create(folder.trajectories, meta) as recorder
    ):
        scalars = _scalars(folder, settings)
        how = replace(settings.search, tensorboard=str(scalars)) if scalars else settings.search
        return agent_search(
            how.agent, evaluator, how, settings.seed, recorder, progress, folder.checkpoints / "search.pt"
        )
