"""The cost model beside the search archive of arXiv 2512.04705: 31 early-exit networks that Stream costed.

    python benchmarks/search_archive.py

The archive gives, for every network, the energy-latency product (ELP) of a sample that leaves at each exit and the
product expected over all exits; its energies and latencies are minima of every stage over allocations, taken apart.
Both of Stream's ways to run a network are costed here: activations through DRAM layer by layer, and kept on chip; each
with all stages on one core, on all four, and with those minima. Writes results/search_archive.json.
"""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import provenance
from zigzag_agreement import spearman

from eenn_multicore.backend import MulticoreBackend
from eenn_rl.backbone import Backbone, Layer
from eenn_rl.cost import CostReport
from eenn_rl.hardware import AcceleratorSpec, load_accelerator
from eenn_rl.workload import Stage, Workload
from eenn_rl.zoo import make_backbone

ARCHIVE = Path(__file__).parent / "reference" / "search_archive.json"
ONE, HALF, ALL = 0, 4, 6
"""Allocations of quad_edge_tpu: one core, two, all four."""


def head(backbone: Backbone, location: int, two_layers: bool) -> tuple[Layer, ...]:
    """The paper's exit: max-pool to 4x4, then one linear layer, or two with half the channels' width between."""
    block = backbone.blocks[location]
    channels, size, _ = block.out_shape
    layers: list[Layer] = []
    window = (size // 4, size // 4)
    if size > 4:
        reads = (block.layers[-1].name,)
        layers.append(
            Layer(f"pool{location}", "pool", 1, channels, channels, (size, size), (4, 4), window, window, reads=reads)
        )
    widths = (channels * 16, *([channels * 8] if two_layers else []), backbone.num_classes)
    for place, (into, out) in enumerate(pairwise(widths)):
        reads = (layers[-1].name,) if layers else (block.layers[-1].name,)
        layers.append(Layer(f"linear{location}.{place}", "linear", 1, into, out, (1, 1), (1, 1), reads=reads))
    return tuple(layers)


def workload(backbone: Backbone, network: dict, allocation: int) -> Workload:
    stages, first = [], 0
    for location, kind in zip(network["exit_after_block"], network["head_type"], strict=True):
        body = tuple(layer for block in backbone.blocks[first : location + 1] for layer in block.layers)
        stages.append(Stage(body, head(backbone, location, kind != 1), 8, allocation, allocation))
        first = location + 1
    return Workload(tuple(stages))


def path_products(reports: list[CostReport]) -> np.ndarray:
    """ELP of a sample that leaves at each exit (pJ x ns), every stage at its least energy and its least latency."""
    stages = list(zip(*(report.stages for report in reports), strict=True))
    energy = [min(s.energy_j + s.branch_energy_j for s in same) for same in stages]
    latency = [min(s.latency_s + s.branch_latency_s for s in same) for same in stages]
    return np.cumsum(energy) * 1e12 * np.cumsum(latency) * 1e9


def compare(spec: AcceleratorSpec, allocations: tuple[int, ...], archive: list[dict]) -> dict[str, float]:
    backbone, backend = make_backbone("mobilenetv2", (3, 32, 32)), MulticoreBackend(spec)
    ours = [path_products([backend.evaluate(workload(backbone, n, a)) for a in allocations]) for n in archive]
    paths, theirs = np.concatenate(ours), np.concatenate([n["path_elp_pj_cycles"] for n in archive])
    expected = np.array([products @ n["exit_rates"] for products, n in zip(ours, archive, strict=True)])
    their_expected = np.array([n["expected_elp"] for n in archive])
    return {
        "paths": len(paths), "paths_spearman": spearman(paths, theirs),
        "paths_median_ratio": float(np.median(paths / theirs)),
        "expected_spearman": spearman(expected, their_expected),
        "expected_median_ratio": float(np.median(expected / their_expected)),
    }  # fmt: skip


def main() -> None:
    archive = json.loads(ARCHIVE.read_text())
    chip = load_accelerator("quad_edge_tpu")
    rows = []
    for on_chip in (False, True):
        for name, allocations in (("one core", (ONE,)), ("four cores", (ALL,)), ("least of each", (ONE, HALF, ALL))):
            found = compare(replace(chip, keep_activations_on_chip=on_chip), allocations, archive)
            rows.append({"activations": "on chip" if on_chip else "through DRAM", "stages": name} | found)
            print(
                f"activations {rows[-1]['activations']:12} stages on {name:13}  rank of {found['paths']} paths "
                f"{found['paths_spearman']:.3f}, of expected ELP {found['expected_spearman']:.3f}; median ratio "
                f"{found['paths_median_ratio']:.2f} and {found['expected_median_ratio']:.2f}"
            )
    provenance.write("search_archive", {"networks": len(archive), "rows": rows}, seeds=())


if __name__ == "__main__":
    main()
