"""Exports of a log: its distinct architectures as csv, json or parquet, its episodes as a Minari data set."""

import csv
import json
import math
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from eenn_rl.errors import InputFileError, InvalidValueError, not_installed, unknown_name
from eenn_rl.log_table import Column, table
from eenn_rl.progress import NullProgress, Progress
from eenn_rl.replay.fault import executing
from eenn_rl.run_folder import log_of
from eenn_rl.trajectory import TrajectoryLog, open_log
from eenn_rl.whole import whole

Kind = Literal["csv", "json", "parquet", "minari"]
Blocks = Iterator[dict[str, Column]]


def export_log(source: str | Path, kind: str, target: Path, progress: Progress | None = None) -> int:
    """Write the log of a run folder, or a log file, to `target`; returns the rows or, for minari, episodes written.

    `target` must not exist; it appears as a whole. Raises `MissingDependencyError` where parquet needs pyarrow, minari
    the package of that name, and it is not installed.
    """
    if kind not in WRITERS and kind != "minari":
        raise unknown_name("export format", kind, [*WRITERS, "minari"])
    if target.exists():
        raise InvalidValueError(f"{target}: expected no file or folder, found one: choose another target")
    progress = progress or NullProgress()
    path = log_of(Path(source))
    with open_log(path) as log, executing(path):
        if kind == "minari":
            from eenn_rl.export_minari import write_minari

            return write_minari(log, target, progress)
        return _write(log, kind, target, progress)


def _write(log: TrajectoryLog, kind: str, target: Path, progress: Progress) -> int:
    progress.phase(f"export {kind}", len(log))
    count = 0

    def counted() -> Blocks:
        nonlocal count
        for block in table(log):
            count += len(block["episode"])
            progress.advance(max(block["episode"], default=-1) + 1)
            yield block

    try:
        with whole(target) as unfinished:
            WRITERS[kind](counted(), unfinished)
    except OSError as error:
        raise InputFileError(f"{target}: cannot be written: {error.strerror or error}") from None
    return count


def _rows(blocks: Blocks) -> Iterator[dict[str, Any]]:
    for block in blocks:
        for values in zip(*block.values(), strict=True):
            yield dict(zip(block, values, strict=True))


def _write_csv(blocks: Blocks, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for number, block in enumerate(blocks):
            if number == 0:
                writer.writerow(block)
            writer.writerows(zip(*block.values(), strict=True))


def _write_json(blocks: Blocks, path: Path) -> None:
    """A list of objects, one a line; what is no finite number is null, as JSON has no other."""
    with path.open("w", encoding="utf-8") as file:
        separator = "["
        for row in _rows(blocks):
            plain = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()}
            file.write(f"{separator}\n{json.dumps(plain)}")
            separator = ","
        file.write("[]\n" if separator == "[" else "\n]\n")


def _write_parquet(blocks: Blocks, path: Path) -> None:
    try:
        pa, pq = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise not_installed("export --to parquet needs the package pyarrow", "parquet") from None
    first = next(blocks)
    schema = pa.schema([(name, _arrow(pa, name)) for name in first])
    with pq.ParquetWriter(path, schema) as writer:
        for block in chain([first], blocks):
            writer.write_table(pa.table(block, schema=schema))


def _arrow(pa: Any, name: str) -> Any:
    """The type of a column, which a block that holds nothing but None would not tell."""
    last = name.rsplit("_", 1)[-1]
    if name == "failure" or name.endswith(("_branch", "_core")):
        return pa.string()
    if name in ("episode", "exits") or last in ("location", "bits"):
        return pa.int64()
    return pa.bool_() if last == "feasible" else pa.float64()


WRITERS: dict[str, Callable[[Blocks, Path], None]] = {
    "csv": _write_csv,
    "json": _write_json,
    "parquet": _write_parquet,
}
