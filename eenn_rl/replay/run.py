"""replay_file: execute a log again and say what it is worth."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from eenn_rl.errors import EennError
from eenn_rl.evaluator import Evaluator
from eenn_rl.plugins import backend_record
from eenn_rl.progress import NullProgress, Progress
from eenn_rl.replay.compare import compare
from eenn_rl.replay.fault import executing
from eenn_rl.replay.problem import baselines, read_tables, rebuild, rebuild_layout
from eenn_rl.replay.verdict import ReplayResult
from eenn_rl.trajectory import RunMeta, TrajectoryLog, current_versions, open_log
from eenn_rl.trajectory.rows import UNSEALED, broken_links

LISTED = 5
"""Altered episodes named in a result."""


def replay_file(path: str | Path, progress: Progress | None = None) -> ReplayResult:
    """Execute every episode of the log at `path` again and compare, bit for bit, with what was logged.

    Nothing but the file is needed, and the backend that it names. Raises `EennError` where the file is no sound log or
    cannot be executed here at all.
    """
    progress = progress or NullProgress()
    with open_log(path) as log:
        altered, records = log.altered_parts, log.altered_verifications
        try:
            with executing(log.path):
                found = _execute_all(log, rebuild(log.meta, log.path), altered, progress)
            return replace(found, altered_verifications=records)
        except EennError as error:
            if not altered and not records:
                raise
            # What was altered cannot even be executed: that is the finding, not a wrong input.
            progress.note(str(error))
            return ReplayResult(len(log), log.steps, 0.0, altered_parts=altered, altered_verifications=records)


def _execute_all(
    log: TrajectoryLog, evaluator: Evaluator, altered: tuple[str, ...], progress: Progress
) -> ReplayResult:
    from eenn_envs.core import Problem

    problem = Problem(evaluator, rebuild_layout(log.meta, log.path))
    progress.phase("replay", log.steps)
    begun = time.monotonic()
    done, differing, first, before = 0, 0, None, UNSEALED
    broken: list[int] = []
    for rows in log.blocks():
        flags, difference = compare(problem, rows, done, before)
        broken += (done + broken_links(rows, before)).tolist()
        before = bytes(rows.episodes["digest"][-1])
        first = first or difference
        differing += int(flags.sum())
        done += len(rows)
        progress.advance(int(rows.episodes["start"][-1] + rows.episodes["length"][-1]), differing=float(differing))
    return ReplayResult(
        len(log),
        log.steps,
        time.monotonic() - begun,
        differing,
        first,
        len(broken),
        tuple(broken[:LISTED]),
        altered,
        _changed_numbers(log.meta, evaluator, log.path),
        _changed_versions(log.meta),
    )


def _changed_numbers(meta: RunMeta, evaluator: Evaluator, path: Path) -> tuple[str, ...]:
    """What the static networks say: they are costed again whenever a log is replayed."""
    changes = []
    fingerprint = read_tables(meta, path).fingerprint
    if fingerprint != meta.fingerprint:
        changes.append(f"the estimator is another: fingerprint {meta.fingerprint[:12]} logged, {fingerprint[:12]} here")
    logged: Mapping[str, Any] = meta.baselines if isinstance(meta.baselines, dict) else {}
    here = baselines(evaluator)
    for what, names in (("cost model", ("energy_j", "latency_s")), ("estimator", ("accuracy",))):
        differing = [
            f"{baseline} {name} {logged[baseline].get(name)!r} logged, {here[baseline][name]!r} here"
            for baseline in here for name in names
            if isinstance(logged.get(baseline), dict) and logged[baseline].get(name) != here[baseline][name]
        ]  # fmt: skip
        if differing:
            changes.append(f"the {what} is another: {differing[0]}")
    return tuple(changes)


def _changed_versions(meta: RunMeta) -> tuple[str, ...]:
    here = current_versions()
    changes = [
        f"{name} is another: {logged} logged, {here[name]} here"
        for name, logged in meta.versions.items()
        if name in here and logged != here[name]
    ]
    record = backend_record(meta.backend.get("name", ""))
    logged = f"{meta.backend.get('distribution')} {meta.backend.get('version')}"
    found = f"{record.distribution} {record.version}"
    if logged != found:
        changes.append(f"backend {record.name!r} is another: {logged} logged, {found} here")
    return tuple(changes)
