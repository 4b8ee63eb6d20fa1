"""How many architectures per second the multicore backend costs, beside zigzag-dse on the same network.

    python benchmarks/multicore_speed.py [--zigzag-python /path/to/an/environment/bin/python]

Measures, on one core: building the tables for a 12-block backbone (every block, branch, bit-width, allocation); random
architectures through the batch path; single `evaluate` calls; and a cold zigzag-dse run over ResNet-8's layers in an
environment that has it (``pip install zigzag-dse==3.9.1 six``); without one, the seconds recorded with the reference
rows are used, and the output says so. The last line is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np  # noqa: E402  (after the threads are pinned)

from eenn_multicore.backend import MulticoreBackend  # noqa: E402
from eenn_rl.backbone import Backbone  # noqa: E402
from eenn_rl.branches import BRANCHES, CLASSIFIER, branch_layers  # noqa: E402
from eenn_rl.hardware import AcceleratorSpec, load_accelerator  # noqa: E402
from eenn_rl.workload import Stage, Workload  # noqa: E402
from eenn_rl.zoo import make_backbone  # noqa: E402

HERE = Path(__file__).parent
BITS = (2, 4, 8)


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


def tables_seconds(name: str, spec: AcceleratorSpec) -> float:
    """Seconds until every block and branch of a backbone is costed at every bit-width on every allocation."""
    space = Space(make_backbone(name, (3, 32, 32), 10), spec)
    for location, branches in enumerate(space.branches):
        for branch in range(len(branches)):
            for bits in range(3):
                for core in range(len(spec.allocations)):
                    space.stage((location, location, branch, bits, core, core))
    backend = MulticoreBackend(spec)
    start = time.perf_counter()
    backend.evaluate_batch(space.stages, np.arange(len(space.stages), dtype=np.int32)[:, None])
    return time.perf_counter() - start


def best_rate(work: int, repeats: int, run: object) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()  # type: ignore[operator]
        seconds.append(time.perf_counter() - start)
    return work / min(seconds)


def zigzag_seconds(python: str | None) -> tuple[float, str]:
    """Seconds of a cold zigzag-dse run over ResNet-8's layers on the same core, and where the number is from."""
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
            start = time.perf_counter()
            subprocess.run([*command, "--mapping", str(mapping)], check=True, capture_output=True)
            return time.perf_counter() - start, "measured in this run"
    rows = json.loads((HERE / "reference" / "zigzag_given.json").read_text())["records"]
    typical = float(np.median([row["zigzag_wall_s"] for row in rows if row["hardware"].startswith("C")]))
    return typical * len(layers), "recorded with the reference rows: median seconds per layer times layers"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zigzag-python", help="a Python that has zigzag-dse")
    parser.add_argument("--count", type=int, default=200_000, help="architectures per batch")
    options = parser.parse_args()
    spec = load_accelerator("quad_edge_tpu")
    tables = min(tables_seconds("mobilenetv2", spec) for _ in range(2))
    print(f"tables of a 12-block backbone, all branches, bits and allocations: {tables:.2f} s")
    space = Space(make_backbone("resnet8", (3, 32, 32), 10), spec)
    index = space.sample(np.random.default_rng(2026), options.count)
    backend = MulticoreBackend(spec)
    start = time.perf_counter()
    backend.evaluate_batch(space.stages, index)
    print(f"{options.count:,} random architectures of {len(space.stages):,} stages, first time: "
          f"{time.perf_counter() - start:.2f} s")  # fmt: skip
    rate = best_rate(options.count, 5, lambda: backend.evaluate_batch(space.stages, index))
    print(f"again: {rate:,.0f} architectures per second")
    workloads = [Workload(tuple(space.stages[i] for i in row if i >= 0)) for row in index[:2000]]
    single = best_rate(len(workloads), 5, lambda: [backend.evaluate(workload) for workload in workloads])
    print(f"single evaluations with breakdown and timeline: {single:,.0f} per second")
    seconds, origin = zigzag_seconds(options.zigzag_python)
    print(f"zigzag-dse 3.9.1, ResNet-8 on one core of the kind: {seconds:.1f} s ({origin})")
    print(f"ratio: {rate * seconds:.3g}")
    result = {
        "architectures_per_second": rate, "single_per_second": single, "zigzag_seconds_per_network": seconds,
        "ratio": rate * seconds, "tables_seconds": tables, "zigzag_seconds_origin": origin,
        "python": sys.version.split()[0],
    }  # fmt: skip
    (HERE / "results" / "multicore_speed.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
