"""A log as a Minari data set (https://minari.farama.org): the field's format for logged episodes."""

import re
import shutil
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from eenn_rl.errors import InputFileError, not_installed
from eenn_rl.places import held
from eenn_rl.progress import Progress
from eenn_rl.replay import environment, final_observations, registered_as
from eenn_rl.trajectory import TrajectoryLog
from eenn_rl.trajectory.rows import Rows

BLOCK = 512
"""Episodes handed over at a time."""


def write_minari(log: TrajectoryLog, target: Path, progress: Progress) -> int:
    """Write every episode of `log` to the folder `target`, for ``minari.MinariDataset(target)``; returns their number.

    The observation after the last action, which a log does not hold, comes from the environment. Infos hold
    `action_masks` bool [T + 1, actions], and `feasible`, `accuracy` and `elp` [T + 1], which are known at the end alone
    (False and NaN before it); episode metadata hold all that the architecture is worth.
    """
    target = target.absolute()  # minari joins a relative path with itself
    storage_type, buffer_type = _minari()
    problem = environment(log.meta, log.path)
    try:
        with held(target, "export", "TARGET"):
            return _written(log, target, problem, (storage_type, buffer_type), progress)
    except OSError as error:
        raise InputFileError(f"{target}: cannot be written: {error.strerror or error}") from None


def _written(log: TrajectoryLog, target: Path, problem: Any, minari: tuple[Any, Any], progress: Progress) -> int:
    """`write_minari`, by the only writer of `target`."""
    storage_type, buffer_type = minari
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    progress.phase("export minari", len(log))
    try:
        spec = _spec(registered_as(problem, log.meta))
        storage = storage_type.new(unfinished, *_spaces(problem.layout), env_spec=spec, jpeg_encoding=False)
        storage.update_metadata(_metadata(log))
        done = 0
        for rows in log.blocks(BLOCK):
            storage.update_episodes(_buffers(buffer_type, rows, final_observations(problem, rows), done))
            numbers = list(range(done, done + len(rows)))
            storage.update_episode_metadata(_episode_metadata(rows), numbers)
            done += len(rows)
            progress.advance(done)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return len(log)


def _minari() -> tuple[Any, Any]:
    try:
        storage, collector = import_module("minari.dataset.minari_storage"), import_module("minari.data_collector")
    except ImportError:
        raise not_installed("export --to minari needs the package minari", "minari") from None
    return storage.MinariStorage, collector.EpisodeBuffer


def _spaces(layout: Any) -> tuple[Any, Any]:
    """The environment's observation and action space."""
    import gymnasium

    low, high = layout.bounds()
    return gymnasium.spaces.Box(low, high, dtype=np.float32), gymnasium.spaces.Discrete(layout.actions)


def _spec(registered: str | None) -> Any:
    """How Gymnasium makes the environment of that id; None for a problem that no id stands for."""
    import gymnasium

    return gymnasium.spec(registered) if registered else None


def _metadata(log: TrajectoryLog) -> dict[str, Any]:
    meta = log.meta
    return {
        "dataset_id": f"eenn_rl/{re.sub(r'[^A-Za-z0-9_.-]', '_', log.path.resolve().parent.name) or 'log'}-v0",
        "minari_version": version("minari"),
        "algorithm_name": str((meta.config.get("search") or {}).get("agent", ""))
        if isinstance(meta.config, dict)
        else "",
        "description": "Episodes of eenn_rl/EENN-v0: early-exit networks designed decision by decision. "
        "infos/action_masks are the legal actions; feasible, accuracy and elp stand at the end of an episode.",
        "code_permalink": "",
    }


def _buffers(make: Any, rows: Rows, finals: np.ndarray[Any, Any], first: int) -> list[Any]:
    offsets = rows.offsets.tolist()
    buffers = []
    for i in range(len(rows)):
        part = slice(offsets[i], offsets[i + 1])
        length = offsets[i + 1] - offsets[i]
        masks = rows.steps["masks"][part]
        buffers.append(
            make(
                id=first + i,
                seed=int(rows.episodes["seed"][i]),
                observations=np.concatenate([rows.steps["observations"][part], finals[i : i + 1]]),
                actions=rows.steps["actions"][part].astype(np.int64),
                rewards=rows.steps["rewards"][part],
                terminations=np.arange(length) == length - 1,
                truncations=np.zeros(length, np.bool_),
                infos={"action_masks": np.concatenate([masks, np.zeros_like(masks[:1])]), **_ends(rows, i, length)},
            )
        )
    return buffers


def _ends(rows: Rows, i: int, length: int) -> dict[str, np.ndarray[Any, Any]]:
    """What the environment says of episode `i` with its last step, for each observation."""
    found = {"feasible": np.zeros(length + 1, np.bool_)}
    found |= {name: np.full(length + 1, np.nan) for name in ("accuracy", "elp")}
    for name, values in found.items():
        values[-1] = rows.episodes[name][i]
    return found


def _episode_metadata(rows: Rows) -> list[dict[str, Any]]:
    names = ("feasible", "accuracy", "energy_j", "latency_s", "elp", "elp_reduction", "architecture")
    return [{name: rows.episodes[name][i] for name in names} for i in range(len(rows))]
