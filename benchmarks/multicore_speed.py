"""How many architectures per second the multicore backend costs, beside zigzag-dse on the same network.

    python benchmarks/multicore_speed.py [--zigzag-python PYTHON]

Measures, on one core: building the tables for a 12-block backbone (every block, branch, bit-width, allocation); random
architectures through the batch path; single `evaluate` calls; and a cold zigzag-dse run over ResNet-8's layers, in this
environment or that of PYTHON (extra `zigzag`); where neither has it, the seconds recorded with the reference rows are
used, and the output says so. The last line is one JSON object.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np  # noqa: E402  (after the threads are pinned)
import provenance  # noqa: E402

from eenn_multicore.backend import MulticoreBackend  # noqa: E402
from eenn_rl.backbone import Backbone  # noqa: E402
from eenn_rl.branches import BRANCHES, CLASSIFIER, branch_layers  # noqa: E402
from eenn_rl.hardware import AcceleratorSpec, load_accelerator  # noqa: E402
from eenn_rl.workload import Stage, Workload  # noqa: E402
from eenn_rl.zoo import make_backbone  # noqa: E402

HERE = Path(__file__).parent
BITS = (2, 4, 8)
SEED = 2026


class Space:
    """All stages of a backbone on an accelerator, found by (first block, location, branch, bits, core, branch core)."""

    def __init__(self, backbone: Backbone, spec: AcceleratorSpec) -> None:
        self.backbone, self.spec = backbone, spec
        self.stages: list[Stage] = []
        self.known: dict[tuple[int, ...], int] = {}
        last = len(backbone.blocks) - 1
        self.branches = [
            [branch_layers(backbone, loc, b) for b in (BRANCHES if loc < last else (CLASSIFIER,))]
            for loc in range(last + 1)
        ]

    def stage(self, key: tuple[int, ...]) -> int:
        """The index of a stage, made when first asked for."""
        if key not in self.known:
            first, location, branch, bits, core, branch_core = key
            blocks = self.backbone.blocks[first : location + 1]
            body = tuple(layer for block in blocks for layer in block.layers)
            self.known[key] = len(self.stages)
            self.stages.append(Stage(body, self.branches[location][branch], BITS[bits], core, branch_core))
        return self.known[key]

    def sample(self, rng: np.random.Generator, count: int, exits: int = 4) -> np.ndarray:
        """Random architectures as rows of stage indices, -1 padded."""
        last = len(self.backbone.blocks) - 1
        cores = len(self.spec.allocations)
        index = np.full((count, exits), -1, np.int32)
        for row in range(count):
            number = int(rng.integers(0, exits))
            locations = [*sorted(rng.choice(last, size=min(number, last), replace=False).tolist()), last]
            first = 0
            for column, location in enumerate(locations):
                branch = int(rng.integers(len(self.branches[location])))
                choice = (int(rng.integers(3)), int(rng.integers(cores)), int(rng.integers(cores)))
                index[row, column] = self.stage((first, location, branch, *choice))
                first = location + 1
        return index


@dataclass(frozen=True)
class Spent:
    """Wall and CPU seconds of a piece of work."""

    wall: float
    cpu: float
    work: int = 1

    @property
    def per_second(self) -> float:
        """Work done in a second of wall time."""
        return self.work / self.wall

    @property
    def per_cpu_second(self) -> float:
        """Work done in a second of CPU time."""
        return self.work / self.cpu


def clocked(run: Callable[[], object], work: int = 1) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu, work)


def best(run: Callable[[], object], repeats: int, work: int = 1) -> Spent:
    """The least of several runs, wall and CPU time each."""
    spent = [clocked(run, work) for _ in range(repeats)]
    return Spent(min(s.wall for s in spent), min(s.cpu for s in spent), work)


def tables(name: str, spec: AcceleratorSpec) -> Spent:
    """Time until every block and branch of a backbone is costed at every bit-width on every allocation."""
    space = Space(make_backbone(name, (3, 32, 32), 10), spec)
    for location, branches in enumerate(space.branches):
        for branch in range(len(branches)):
            for bits in range(3):
                for core in range(len(spec.allocations)):
                    space.stage((location, location, branch, bits, core, core))
    index = np.arange(len(space.stages), dtype=np.int32)[:, None]
    return best(lambda: MulticoreBackend(spec).evaluate_batch(space.stages, index), 3)


def zigzag_time(python: str | None) -> tuple[Spent, str]:
    """Time of a cold zigzag-dse run over ResNet-8's layers on the same core, and where the number is from."""
    layers = [
        {"name": layer.name, "kind": layer.kind, "in_channels": layer.in_channels, "out_channels": layer.out_channels,
         "in_size": layer.in_size[0], "out_size": layer.out_size[0], "kernel": layer.kernel[0],
         "stride": layer.stride[0]}
        for layer in make_backbone("resnet8", (3, 32, 32), 10).layers
        if layer.macs
    ]  # fmt: skip
    if python is not None:
        with tempfile.TemporaryDirectory() as folder:
            listed, out = Path(folder) / "layers.json", Path(folder) / "out.json"
            listed.write_text(json.dumps(layers))
            hardware = HERE / "reference" / "hardware"
            core, mapping = hardware / "C_edge_tpu_like.yaml", hardware / "C_mapping.yaml"
            command = [python, str(HERE / "zigzag_rows.py"), str(core), str(out), "--layers", str(listed)]
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([*command, "--mapping", str(mapping)], check=True, capture_output=True)
            wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            return Spent(wall, cpu), "measured in this run"
    rows = json.loads((HERE / "reference" / "zigzag_given.json").read_text())["records"]
    typical = float(np.median([row["zigzag_wall_s"] for row in rows if row["hardware"].startswith("C")]))
    seconds = typical * len(layers)
    return Spent(seconds, seconds), "recorded with the reference rows: median seconds per layer times layers"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zigzag-python", help="a Python that has zigzag-dse")
    parser.add_argument("--count", type=int, default=200_000, help="architectures per batch")
    options = parser.parse_args()
    spec = load_accelerator("quad_edge_tpu")
    built = tables("mobilenetv2", spec)
    print(
        f"tables of a 12-block backbone, all branches, bits and allocations: {built.wall:.2f} s (CPU {built.cpu:.2f} s)"
    )
    space = Space(make_backbone("resnet8", (3, 32, 32), 10), spec)
    index = space.sample(np.random.default_rng(SEED), options.count)
    backend = MulticoreBackend(spec)
    first = clocked(lambda: backend.evaluate_batch(space.stages, index))
    print(f"{options.count:,} random architectures of {len(space.stages):,} stages, first time: {first.wall:.2f} s")
    rate = best(lambda: backend.evaluate_batch(space.stages, index), 5, options.count)
    print(f"again: {rate.per_second:,.0f} architectures per second (CPU: {rate.per_cpu_second:,.0f})")
    workloads = [Workload(tuple(space.stages[i] for i in row if i >= 0)) for row in index[:2000]]
    single = best(lambda: [backend.evaluate(workload) for workload in workloads], 5, len(workloads))
    print(f"single evaluations with breakdown and timeline: {single.per_second:,.0f} per second "
          f"(CPU: {single.per_cpu_second:,.0f})")  # fmt: skip
    here = sys.executable if find_spec("zigzag") and find_spec("six") else None
    zigzag, origin = zigzag_time(options.zigzag_python or here)
    print(f"zigzag-dse 3.9.1, ResNet-8 on one core of the kind: {zigzag.wall:.1f} s, CPU {zigzag.cpu:.1f} s ({origin})")
    print(f"ratio: {rate.per_second * zigzag.wall:.3g}")
    claims = {
        "architectures_per_second": rate.per_second, "single_per_second": single.per_second,
        "zigzag_seconds_per_network": zigzag.wall, "ratio": rate.per_second * zigzag.wall,
    }  # fmt: skip
    beside = {
        "tables_seconds": built.wall, "tables_cpu_seconds": built.cpu,
        "architectures_per_cpu_second": rate.per_cpu_second, "single_per_cpu_second": single.per_cpu_second,
        "zigzag_cpu_seconds": zigzag.cpu, "zigzag_seconds_origin": origin,
    }  # fmt: skip
    provenance.write("multicore_speed", {**claims, **beside}, (SEED,))
    print(json.dumps(claims))


if __name__ == "__main__":
    main()
