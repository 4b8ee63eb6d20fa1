"""The zigzag backend beside multicore: how long it takes cold and warm, and how far multicore is off it.

Costs N random architectures of resnet8 (16x16 input) on the quad-core Edge TPU by both backends, twice by zigzag: with
what its cache lacks asked of zigzag-dse, then in a fresh backend from the cache alone. Needs the extra `zigzag`. Writes
results/zigzag_backend.json; CPU seconds stand beside wall seconds, those of the processes that ask ZigZag included.

    python benchmarks/zigzag_backend.py --architectures 60 --cache FOLDER
"""

import argparse
import json
import logging
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import provenance

from eenn_multicore.backend import MulticoreBackend
from eenn_rl.hardware import load_accelerator
from eenn_rl.hookspecs import BatchBackend
from eenn_rl.testing.speed import batch_of
from eenn_rl.testing.workloads import sample_workloads
from eenn_rl.zoo import make_backbone
from eenn_zigzag.backend import ZigZagBackend
from eenn_zigzag.cache import default_folder

Floats = npt.NDArray[np.float64]
Found = TypeVar("Found")
SEED = 0


def ranks(values: Floats) -> Floats:
    order = values.argsort().argsort()
    return order.astype(np.float64)


def comparison(modelled: Floats, reference: Floats) -> dict[str, float]:
    """Relative errors of `modelled`, and Spearman's rank correlation."""
    error = modelled / reference - 1
    return {
        "mean_error": float(error.mean()),
        "mean_absolute_error": float(np.abs(error).mean()),
        "worst_absolute_error": float(np.abs(error).max()),
        "spearman": float(np.corrcoef(ranks(modelled), ranks(reference))[0, 1]),
    }


def cpu_seconds() -> float:
    """Of this process and its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def timed(action: Callable[[], Found]) -> tuple[Found, float, float]:
    """What `action` returns, its wall and its CPU seconds."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    found = action()
    return found, time.perf_counter() - wall, cpu_seconds() - cpu


def files(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*.json"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", type=int, default=60)
    parser.add_argument("--cache", type=Path, default=default_folder())
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    spec, backbone = load_accelerator("quad_edge_tpu"), make_backbone("resnet8", (1, 16, 16))
    workloads = sample_workloads(spec, backbone, arguments.architectures, SEED)
    stages, index = batch_of(workloads)
    known = files(arguments.cache)

    cold_backend = ZigZagBackend(spec, arguments.cache, arguments.workers)
    cold, cold_s, cold_cpu_s = timed(lambda: cold_backend.evaluate_batch(stages, index))
    warm_backend = ZigZagBackend(spec, arguments.cache, 1)
    warm, first_s, _ = timed(lambda: warm_backend.evaluate_batch(stages, index))
    assert all(np.array_equal(a, b) for a, b in zip(cold, warm, strict=True))  # noqa: S101  a cache must not change costs

    multicore: BatchBackend = MulticoreBackend(spec)
    used = index >= 0
    energy, latency, _ = multicore.evaluate_batch(stages, index)
    many = np.tile(index, (-(-20_000 // len(index)), 1))
    _, many_s, many_cpu_s = timed(lambda: warm_backend.evaluate_batch(stages, many))

    result = {
        "architectures": len(workloads),
        "stages": len(stages),
        "workers": arguments.workers,
        "asked_of_zigzag": files(arguments.cache) - known,
        "cold_s": cold_s,
        "cold_cpu_s": cold_cpu_s,
        "first_from_cache_s": first_s,
        "warm_architectures_per_s": len(many) / many_s,
        "warm_architectures_per_cpu_s": len(many) / many_cpu_s,
        "multicore_energy": comparison(energy[used], warm[0][used]),
        "multicore_latency": comparison(latency[used], warm[1][used]),
    }
    print(json.dumps(result, indent=1))
    print(provenance.write("zigzag_backend", result, [SEED], "zigzag-dse"))


if __name__ == "__main__":
    main()
