"""The zigzag backend beside multicore: how long it takes cold and warm, and how far multicore is off it.

Costs N random architectures of resnet8 (16x16 input) on the quad-core Edge TPU by both backends, twice by zigzag: with
what its cache lacks asked of zigzag-dse, then in a fresh backend from the cache alone. Needs the extra `zigzag`. Writes
results/zigzag_backend.json.

    python benchmarks/zigzag_backend.py --architectures 60 --cache FOLDER
"""

import argparse
import json
import logging
import os
import platform
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eenn_multicore.backend import MulticoreBackend
from eenn_rl import __version__
from eenn_rl.hardware import load_accelerator
from eenn_rl.hookspecs import BatchBackend
from eenn_rl.testing.speed import batch_of
from eenn_rl.testing.workloads import sample_workloads
from eenn_rl.zoo import make_backbone
from eenn_zigzag.backend import ZigZagBackend
from eenn_zigzag.cache import default_folder
from eenn_zigzag.layer_model import tool_version

RESULTS = Path(__file__).parent / "results" / "zigzag_backend.json"
Floats = npt.NDArray[np.float64]


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
    workloads = sample_workloads(spec, backbone, arguments.architectures)
    stages, index = batch_of(workloads)
    known = files(arguments.cache)

    start = time.perf_counter()
    cold = ZigZagBackend(spec, arguments.cache, arguments.workers).evaluate_batch(stages, index)
    cold_s = time.perf_counter() - start

    start = time.perf_counter()
    warm_backend = ZigZagBackend(spec, arguments.cache, 1)
    warm = warm_backend.evaluate_batch(stages, index)
    first_warm_s = time.perf_counter() - start
    assert all(np.array_equal(a, b) for a, b in zip(cold, warm, strict=True))  # noqa: S101  a cache must not change costs

    multicore: BatchBackend = MulticoreBackend(spec)
    used = index >= 0
    energy, latency, _ = multicore.evaluate_batch(stages, index)
    many = np.tile(index, (-(-20_000 // len(index)), 1))
    start = time.perf_counter()
    warm_backend.evaluate_batch(stages, many)
    rate = len(many) / (time.perf_counter() - start)

    result = {
        "made_with": {
            "command": f"python benchmarks/zigzag_backend.py --architectures {arguments.architectures}",
            "eenn_rl": __version__,
            "zigzag-dse": tool_version(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        },
        "architectures": len(workloads),
        "stages": len(stages),
        "asked_of_zigzag": files(arguments.cache) - known,
        "cold_s": cold_s,
        "first_from_cache_s": first_warm_s,
        "warm_architectures_per_s": rate,
        "multicore_energy": comparison(energy[used], warm[0][used]),
        "multicore_latency": comparison(latency[used], warm[1][used]),
    }
    print(json.dumps(result, indent=1))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
