"""Settings that are paths: absolute in a run folder, which works from everywhere; bare where others read them."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from eenn_rl.config import RunConfig
from eenn_rl.hardware import shipped_accelerators
from eenn_rl.networks.settings import DATASETS, TRAINING_FREE


def located(config: RunConfig) -> RunConfig:
    """`config` with absolute paths; names of what is shipped or known, and of what is not here, stay as they are."""
    return _changed(config, _absolute)


def bare(config: RunConfig) -> RunConfig:
    """`config` for a log or a page, which strangers may read: of an absolute path its last part alone."""
    return _changed(config, lambda value, _names, _made: Path(value).name if Path(value).is_absolute() else value)


def _changed(config: RunConfig, change: Callable[[str, Iterable[str], bool], str]) -> RunConfig:
    """`config` with `change` of each path: its value, the names that are none, and whether it may be made yet."""

    def of(value: str | None, names: Iterable[str] = (), *, made: bool = False) -> str | None:
        return None if value is None else change(value, names, made)

    return replace(
        config,
        accelerator=of(config.accelerator, shipped_accelerators()),
        dataset=change(config.dataset, DATASETS, False),
        tables=of(config.tables, ("shipped", *TRAINING_FREE)),
        data_root=of(config.data_root, made=True),
        backend_memo=of(config.backend_memo, made=True),
        search=replace(config.search, policy=of(config.search.policy, ("shipped", "untrained"))),
    )


def _absolute(value: str, names: Iterable[str], made: bool) -> str:
    return str(Path(value).resolve()) if value not in names and (made or Path(value).exists()) else value
