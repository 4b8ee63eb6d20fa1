"""From a configuration to what a search works on: tables, space, backend and evaluator put together."""

import logging
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from eenn_rl.config import RunConfig
from eenn_rl.errors import InputFileError, InvalidValueError
from eenn_rl.estimator import Estimator
from eenn_rl.evaluator import Evaluator
from eenn_rl.hardware import AcceleratorSpec, load_accelerator, shipped_accelerators
from eenn_rl.memo import practical
from eenn_rl.networks.settings import DATASETS, FORMS
from eenn_rl.plugins import OWN_DISTRIBUTION, backend_record, default_accelerator, make_backend
from eenn_rl.run_folder import RunFolder
from eenn_rl.serialization import from_json
from eenn_rl.space import SearchSpace
from eenn_rl.tables import AccuracyTables
from eenn_rl.testing.spot_check import spot_check
from eenn_rl.workers import parallel
from eenn_rl.zoo import make_backbone

if TYPE_CHECKING:
    from eenn_rl.networks.data import Dataset

_LOG = logging.getLogger(__name__)
SHIPPED = "shipped"


def shipped_tables(dataset: str, backbone: str) -> AccuracyTables:
    """The tables that come with the package for a data set and a backbone."""
    folder = resources.files("eenn_rl") / "shipped_tables"
    name = f"{dataset}_{backbone}.npz"
    with resources.as_file(folder) as path:
        known = sorted(file.stem for file in path.glob("*.npz"))
        if not (path / name).exists():
            raise InvalidValueError(
                f"no tables are shipped for data set {dataset!r} and backbone {backbone!r}: known: "
                f"{', '.join(known)}: give --tables FILE, for example a run's tables.npz"
            )
        return AccuracyTables.load(path / name)


def given_tables(config: RunConfig) -> AccuracyTables | None:
    """The tables that the configuration names, or None where they are to be measured, or guessed."""
    if config.tables is None or config.guessed:
        return None
    if config.tables == SHIPPED:
        return _of_asked_rule(shipped_tables(config.dataset, config.backbone), config)
    tables = _of_asked_rule(AccuracyTables.load(Path(config.tables)), config)
    _check_backbone(tables, config, config.tables)
    _check_data(tables, config, config.tables)
    return tables


def _check_backbone(tables: AccuracyTables, config: RunConfig, source: str) -> None:
    """Refuse tables of another backbone; a user's own may have a name of its own."""
    found, name = tables.backbone, config.backbone
    if ":" in name and found.name != name:
        name = make_backbone(name, found.input_shape, found.num_classes).name
    if found.name != name:
        raise InputFileError(
            f"{source}: expected tables of backbone {config.backbone!r}, found those of {found.name!r}: give "
            f"--backbone {found.name}, or other tables"
        )


def _check_data(tables: AccuracyTables, config: RunConfig, source: str) -> None:
    """Refuse tables that were measured on other images than those of the configuration."""
    name = config.dataset if config.dataset in DATASETS else Path(config.dataset).resolve().name
    if name != tables.dataset:
        raise InputFileError(
            f"{source}: expected tables of data set {name!r}, found those of {tables.dataset!r}: give "
            f"--dataset as they were measured on, or other tables"
        )
    form = data_form(config.dataset)
    measured = (tables.backbone.input_shape, tables.backbone.num_classes)
    if form not in (None, measured):
        raise InputFileError(
            f"{source}: expected tables of {form_text(*form)}, as in --dataset {config.dataset}, found those "
            f"of {form_text(*measured)}: give --dataset as they were measured on, or other tables"
        )


def data_form(dataset: str) -> tuple[tuple[int, int, int], int] | None:
    """Shape (channels, height, width) of a data set's images and its number of classes; None where it is not here."""
    if dataset in FORMS:
        return FORMS[dataset]
    from eenn_rl.networks.folder import form_of

    return form_of(Path(dataset)) if Path(dataset).is_dir() else None


def form_text(shape: tuple[int, int, int], classes: int) -> str:
    """As ``images of 1x16x16 in 10 classes``."""
    return f"images of {'x'.join(map(str, shape))} in {classes} classes"


def on_data_of_tables(config: RunConfig) -> RunConfig:
    """`config`, whose data set nobody named: that of the file of tables, where it has one."""
    if config.tables in (None, SHIPPED) or config.guessed:
        return config
    return replace(config, dataset=AccuracyTables.load(Path(str(config.tables))).dataset)


def _of_asked_rule(tables: AccuracyTables, config: RunConfig) -> AccuracyTables:
    """`tables`, whose confidences were measured by one rule; refused where another one was asked for."""
    source = f"--tables {config.tables}" if config.tables else "the accuracy tables"
    if config.confidence_rule not in (RunConfig.confidence_rule, tables.confidence_rule):
        raise InvalidValueError(
            f"--confidence-rule {config.confidence_rule}: expected {tables.confidence_rule}, by which the confidences "
            f"in {source} were measured: leave that option out, or --tables, to measure anew"
        )
    return tables


def tables_or_shipped(config: RunConfig) -> AccuracyTables:
    """The tables that `config` names, or those that come with the package for its data set and backbone."""
    if config.guessed:
        raise InvalidValueError(
            f"--tables {config.tables}: expected measured tables here, found a training-free score: give a file, or "
            f"`shipped` (`eenn-rl train --tables {config.tables}` searches on guesses, and its tables.npz is a file)"
        )
    return given_tables(config) or shipped_tables(config.dataset, config.backbone)


def accelerator_of(config: RunConfig, log: Path | None = None) -> AcceleratorSpec:
    """The accelerator that `config` names, or the backend's own where it names none.

    Where its file is gone it is taken from `log`, a run's.
    """
    if config.accelerator is None:
        return default_accelerator(config.backend)
    path = Path(config.accelerator)
    if log is not None and log.exists() and config.accelerator not in shipped_accelerators() and not path.is_file():
        _LOG.warning("warning: %s is not there any more: its accelerator is taken from %s", path, log)
        return logged_accelerator(log)
    return _without_folder(load_accelerator(config.accelerator), path)


def logged_accelerator(log: Path) -> AcceleratorSpec:
    """The accelerator that a run's log holds."""
    from eenn_rl.trajectory import open_log

    with open_log(log) as opened:
        return from_json(AcceleratorSpec, opened.meta.accelerator, f"{log}: accelerator")


def _without_folder(accelerator: AcceleratorSpec, path: Path) -> AcceleratorSpec:
    """`accelerator`, read from `path`, as its log tells it to strangers: without the folder, where that is absolute."""
    if not path.is_absolute():
        return accelerator
    folder = f"{path.parent}/".replace("//", "/")
    return replace(
        accelerator,
        source=accelerator.source.replace(folder, ""),
        notes=tuple(note.replace(folder, "") for note in accelerator.notes),
        cores=tuple(replace(core, source=core.source.replace(folder, "")) for core in accelerator.cores),
    )


def dataset_of(config: RunConfig, run: Path, *, device: str = "cpu") -> "Dataset":
    """The data set of the run in `run`; refused where its folder is not here."""
    from eenn_rl.networks.data import device_of, load_dataset

    if data_form(config.dataset) is None:
        raise InputFileError(
            f"{run}: its data set {config.dataset!r}: expected a folder of images, found none: bring it back, or start "
            f"a new run with --dataset FOLDER"
        )
    return load_dataset(config.dataset, Path(config.data_root) if config.data_root else None).to(device_of(device))


def make_evaluator(config: RunConfig, tables: AccuracyTables, run: RunFolder | None = None) -> Evaluator:
    """The evaluator of the problem that `config` describes, with accuracies from `tables`.

    The folder `run` keeps what a slow backend says, where `config` names no file for that, and the accelerator.
    Raises `EennError` where `config` asks for another backbone, other data or another confidence rule than those of
    `tables`, but where they are the tables of `run`; its default backbone and data set stand for those of the tables.
    """
    if run is None:
        _check_asked(tables, config)
    for what, wanted, measured in (
        ("branches", config.branches, tables.branches),
        ("bits", config.bits, tables.bits),
    ):
        missing = [str(item) for item in wanted if item not in measured]
        if missing:
            raise InvalidValueError(
                f"--{what} {','.join(missing)}: the accuracy tables do not hold them (they hold "
                f"{', '.join(map(str, measured))}): choose among those"
            )
    accelerator = accelerator_of(config, run.trajectories if run else None)
    space = SearchSpace(tables.backbone, accelerator, config.branches, config.bits, config.max_exits)
    made = make_backend(config.backend, accelerator, tables.backbone)
    memo = Path(config.backend_memo) if config.backend_memo else None
    limit_s, kept = config.backend_limit_s, run.costs if run else None
    backend = practical(config.backend, made, accelerator, memo, config.backend_workers, limit_s, kept)
    return Evaluator(space, backend, Estimator(tables, config.thresholds), config.objective, limit_s)


def _check_asked(tables: AccuracyTables, config: RunConfig) -> None:
    """Refuse tables handed over for another problem; what is left at its default is taken from the tables."""
    source = "the accuracy tables"
    _of_asked_rule(tables, config)
    if config.backbone != RunConfig.backbone:
        _check_backbone(tables, config, source)
    if config.dataset != RunConfig.dataset:
        _check_data(tables, config, source)


def broken_promises(config: RunConfig, space: SearchSpace) -> list[str]:
    """What a new search with the backend of `config` should warn of, one line for each promise that it breaks.

    A fresh backend is asked, a few times: the search's own, and what is remembered of it, stays as it was. Those that
    come with eenn-rl are held to their promises by its tests.
    """
    if backend_record(config.backend).distribution == OWN_DISTRIBUTION:
        return []
    made, limit_s = make_backend(config.backend, space.accelerator, space.backbone), config.backend_limit_s
    if config.backend_workers > 1:
        with parallel(made, 2, limit_s) as spread:
            broken = spot_check(spread, space, limit_s)
    else:
        broken = spot_check(made, space, limit_s)
    return [
        f"backend {config.backend!r} breaks its promise that {promise}: it may mislead the search; eenn_rl.testing "
        "(docs/plugins.md) finds out more"
        for promise in broken
    ]
