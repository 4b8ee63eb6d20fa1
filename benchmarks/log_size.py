"""What a log costs: compression side by side, then one million episodes in one file, and `eenn-rl show` of it.

    OMP_NUM_THREADS=1 python benchmarks/log_size.py [--episodes 1000000]

Steps are those of real episodes: 4,096 random architectures of the default problem (ResNet-8, shipped tables of digits,
embedded default accelerator), played once and appended in shuffled order until the file holds as many as asked for.
Their architectures and costs are drawn anew each time, so that nearly all are distinct, as in a search: those of others
repeat no row, and `show` has a million architectures to rank. CPU seconds stand beside wall seconds, which other
processes distort.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import provenance

from eenn_agents.episodes import play
from eenn_envs.core import Problem
from eenn_envs.layout import layout_for
from eenn_rl.config import RunConfig
from eenn_rl.episodes import EpisodeBatch
from eenn_rl.problem import make_evaluator, tables_or_shipped
from eenn_rl.replay import describe
from eenn_rl.run_folder import create_run
from eenn_rl.serialization import to_json
from eenn_rl.trajectory import TrajectoryWriter
from eenn_rl.trajectory.flatten import rows_of
from eenn_rl.trajectory.growing import Growing
from eenn_rl.trajectory.packing import Packing
from eenn_rl.trajectory.schema import FLAGS, VALUES

ROOT = Path(__file__).parent.parent
PLAYED, BLOCK = 4096, 256
DEFLATE = {f"deflate {level}": {"compression": "gzip", "compression_opts": level} for level in (1, 3, 9)}
WIDTHS = (("observations", (300, 60)), (FLAGS, (19, 10, 5)), (VALUES, (11, 4, 1)), ("masks", (36, 12)))
"""Columns and the widths of their chunks; observations as format 1 stored them, then what format 2 stores of them."""
OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "lzf": {"compression": "lzf"},
    "lzf, shuffle": {"compression": "lzf", "shuffle": True},
    **DEFLATE,
    "deflate 3, shuffle": {**DEFLATE["deflate 3"], "shuffle": True},
    "as the log": {"compression": "gzip"},
}
"""By HDF5; the last one by `Growing`."""
SHOW = """
import resource, subprocess, sys, time
begun = time.perf_counter()
subprocess.run([sys.executable, "-m", "eenn_rl.cli", "show", sys.argv[1]], stdout=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, time.perf_counter() - begun, used.ru_maxrss // 1024)
"""


def compared(batch: EpisodeBatch, packing: Packing | None) -> list[dict[str, Any]]:
    """Bytes and CPU microseconds per step of the large columns, in memory, best of three; by width of a chunk."""
    rows = {**rows_of(batch, 0, 0.0).steps, **rows_of(batch, 0, 0.0, packing).steps}
    found = []
    for name, widths in WIDTHS:
        column = rows[name][:40_000]
        for width in widths:
            chunks = (256 if name == "observations" else 4096, width)
            for label, options in OPTIONS.items():
                cost, size = stored(column, chunks, options, growing=label == "as the log")
                step = {
                    "bytes_per_step": round(size / len(column), 2),
                    "us_per_step": round(1e6 * cost / len(column), 2),
                }
                found.append({"column": name, "chunk": chunks, "compression": label, **step})
                print(found[-1], flush=True)
    return found


def stored(
    column: np.ndarray[Any, Any], chunks: tuple[int, ...], options: dict[str, Any], *, growing: bool
) -> tuple[float, int]:
    """Least CPU seconds of three times, and bytes."""
    row = column.shape[1:]
    seconds = []
    for _ in range(3):
        with h5py.File("size.h5", "w", driver="core", backing_store=False) as file:
            begun = time.process_time()
            if growing:
                kind, most = column.dtype, (None, *row)
                dataset = file.create_dataset("x", (0, *row), kind, maxshape=most, chunks=chunks, **options)
                whole = Growing(dataset)
                whole.append(column)
                whole.write()
            else:
                dataset = file.create_dataset("x", data=column, chunks=chunks, **options)
            file.flush()
            seconds.append(time.process_time() - begun)
            size = int(dataset.id.get_storage_size())
    return min(seconds), size


def varied(batch: EpisodeBatch, rows: np.ndarray[Any, Any], rng: np.random.Generator) -> EpisodeBatch:
    """The steps of `rows`, with architectures and costs of their own."""
    names = ("observations", "masks", "actions", "rewards", "lengths", "seeds")
    genomes, evaluation = batch.genomes[rows].copy(), batch.evaluation.take(rows)
    genomes[:, :, 1:] = rng.integers(0, 8, (len(rows), genomes.shape[1], 4))
    factor = rng.lognormal(0, 0.2, (2, len(rows)))
    energy, latency = evaluation.energy_j * factor[0], evaluation.latency_s * factor[1]
    costs = {"energy_j": energy, "latency_s": latency, "elp": energy * latency}
    costs["accuracy"] = evaluation.accuracy + rng.normal(0, 0.002, len(rows))
    costs["elp_reduction"] = 1 - (1 - evaluation.elp_reduction) * factor.prod(0)
    return EpisodeBatch(
        **{name: getattr(batch, name)[rows] for name in names}, genomes=genomes, evaluation=replace(evaluation, **costs)
    )


def append(writer: TrajectoryWriter, batch: EpisodeBatch, count: int) -> dict[str, Any]:
    """`count` episodes; CPU seconds of this thread and of the writer's, in all and as the file grows."""
    rng = np.random.default_rng(1)
    parts, handing, writing, begun = [], 0.0, 0.0, time.perf_counter()
    for start in range(0, count, PLAYED):
        order = rng.permutation(PLAYED)[: min(PLAYED, count - start)]
        blocks = [varied(batch, order[first : first + BLOCK], rng) for first in range(0, len(order), BLOCK)]
        mine, every = time.thread_time(), time.process_time()
        for block in blocks:
            writer.add_episodes(block)
        writer.flush()
        handing += time.thread_time() - mine
        writing += time.process_time() - every
        if (start // PLAYED) % 40 == 0 or start + PLAYED >= count:
            parts.append({"episodes": len(writer), "write_cpu_s": round(writing, 2)})
            print(parts[-1], flush=True)
    half = len(parts) // 2
    rates = [
        (b["write_cpu_s"] - a["write_cpu_s"]) / max(1, b["episodes"] - a["episodes"])
        for a, b in ((parts[0], parts[half]), (parts[half], parts[-1]))
    ]
    return {
        "write_cpu_us_per_episode": round(1e6 * writing / count, 1),
        "of_that_in_the_thread_that_appends": round(1e6 * handing / count, 2),
        "write_cpu_us_per_episode_first_half": round(1e6 * rates[0], 1),
        "write_cpu_us_per_episode_second_half": round(1e6 * rates[1], 1),
        "whole_wall_s": round(time.perf_counter() - begun, 1),
        "growth": parts,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=1_000_000)
    count = parser.parse_args().episodes
    config = RunConfig()
    evaluator = make_evaluator(config, tables_or_shipped(config))
    problem = Problem(evaluator, layout_for(evaluator.space))
    batch = play(problem, evaluator.space.sample(np.random.default_rng(0), PLAYED), np.arange(PLAYED))
    meta = describe(evaluator, config.backend)
    table = compared(batch, meta.packing)
    with tempfile.TemporaryDirectory(dir=ROOT) as name:
        folder = create_run(Path(name) / "run", to_json(config))
        with TrajectoryWriter.create(folder.trajectories, meta) as writer:
            written = append(writer, batch, count)
        size = folder.trajectories.stat().st_size
        done = subprocess.run([sys.executable, "-c", SHOW, folder.path], capture_output=True, text=True, check=True)
        shown = [float(word) for word in done.stdout.split()]
    result = {
        "claim": "compression chosen by measurement; appending is O(1); `show` of a million episodes takes under 2 s",
        "compression": table,
        "episodes": count,
        "steps": int(rows_of(batch, 0, 0.0).episodes["length"].mean() * count),
        "file_bytes": size,
        "bytes_per_episode": round(size / count, 1),
        **written,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "show_cpu_s": round(shown[0], 2),
        "show_wall_s": round(shown[1], 2),
        "show_peak_memory_mib": shown[2],
    }
    provenance.write("log_size", result, [0, 1], "isal")


if __name__ == "__main__":
    main()
