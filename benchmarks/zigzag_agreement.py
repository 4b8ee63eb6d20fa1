"""How closely the layer model agrees with ZigZag, row by row, and the schedule with Stream, network by network.

    python benchmarks/zigzag_agreement.py [--hardware DIR ...] [--mappings DIR ...]

Compares with the rows in `reference/`: those given with the task, and those that `zigzag_rows.py` made afterwards with
zigzag-dse 3.9.1 on random layers. Cores that come inside zigzag-dse (Eyeriss, Ascend, ...) are compared where their
files are found: point `--hardware` at its `inputs/hardware` and `--mappings` at its `inputs/mapping`.
"""

import argparse
import json
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import provenance

from eenn_multicore.backend import ALL_OPERANDS, NO_OPERANDS, MulticoreBackend
from eenn_multicore.layer_cost import AnalyticalLayerModel
from eenn_rl.backbone import Layer
from eenn_rl.hardware import AcceleratorSpec, load_accelerator
from eenn_rl.hardware.zigzag_files import read_mapping
from eenn_rl.layer_file import parse_layers
from eenn_rl.schedule import LayerRequest
from eenn_rl.serialization import read_yaml
from eenn_rl.workload import Stage, Workload

HERE = Path(__file__).parent
REFERENCE = HERE / "reference"
SEED = 2026
"""Of the layers that `zigzag_rows.py` drew."""


def find(name: str, folders: list[Path]) -> Path | None:
    return next((folder / f"{name}.yaml" for folder in folders if (folder / f"{name}.yaml").is_file()), None)


@cache
def model_of(hardware: Path, mapping: Path | None, objective: str) -> tuple[AcceleratorSpec, AnalyticalLayerModel]:
    spec = load_accelerator(str(hardware))
    flows = read_mapping(read_yaml(mapping), str(mapping))[0] if mapping else ()
    return spec, AnalyticalLayerModel(spec, "edp" if objective == "EDP" else "latency", flows)


def layer_of(row: dict) -> Layer:
    keys = ("name", "kind", "in_channels", "out_channels", "in_size", "out_size", "kernel", "stride")
    entry = {key: row[key] for key in keys}
    if row["kind"] == "linear":
        entry |= {"in_size": 1, "out_size": 1}
    return parse_layers([entry], "row")[0].layer


def errors(rows: list[dict], hardware: list[Path], mappings: list[Path]) -> dict[tuple, list[tuple]]:
    groups: dict[tuple, list[tuple]] = defaultdict(list)
    for row in rows:
        core = find(row["hardware"], hardware)
        mapping = None if row["mapping"] == "free" else find(row["mapping"], mappings)
        if core is None or (mapping is None and row["mapping"] != "free"):
            continue
        spec, model = model_of(core, mapping, row["objective"])
        off_chip = ALL_OPERANDS if spec.dram else NO_OPERANDS
        cost = model.cost(LayerRequest(layer_of(row), spec.cores[0], row["bits"], off_chip))
        key = (row["hardware"], row["mapping"], row["bits"], row["objective"])
        groups[key].append((cost.cycles, row["latency_cycles"], cost.energy_j * 1e12, row["energy_pj"]))
    return groups


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1]) if len(a) > 2 else float("nan")


def summarise(groups: dict[tuple, list[tuple]]) -> list[dict]:
    lines = []
    for (hardware, mapping, bits, objective), values in groups.items():
        ours, theirs, energy, their_energy = np.array(values).T
        latency_error, energy_error = np.abs(ours / theirs - 1), np.abs(energy / their_energy - 1)
        lines.append(
            {
                "core": hardware, "mapping": mapping, "bits": bits, "objective": objective, "layers": len(values),
                "latency_error": float(latency_error.mean()), "latency_worst": float(latency_error.max()),
                "energy_error": float(energy_error.mean()), "energy_worst": float(energy_error.max()),
                "latency_spearman": spearman(ours, theirs), "energy_spearman": spearman(energy, their_energy),
                "exact": float(((latency_error < 1e-6) & (energy_error < 1e-6)).mean()),
            }
        )  # fmt: skip
    return lines


def resnet8_paths() -> dict[str, Workload]:
    """ResNet-8 as Stream was given it: paths e1, e2, e3 with heads, and the backbone alone, on all cores."""

    def conv(name: str, sizes: tuple[int, ...], reads: tuple[str, ...]) -> Layer:
        into, out, size, after, kernel, stride = sizes
        pad = (kernel // 2, kernel // 2)
        return Layer(
            name, "conv", 1, into, out, (size, size), (after, after), (kernel, kernel), (stride, stride), pad, reads
        )

    def head(name: str, channels: int, size: int, reads: str) -> tuple[Layer, ...]:
        whole = (size, size)
        pool = Layer(f"{name}.pool", "pool", 1, channels, channels, whole, (1, 1), whole, whole, reads=(reads,))
        return (pool, Layer(f"{name}.fc", "linear", 1, channels, 10, (1, 1), (1, 1), reads=(pool.name,)))

    def add(name: str, channels: int, size: int, reads: tuple[str, str]) -> Layer:
        return Layer(name, "add", 1, channels, channels, (size, size), (size, size), reads=reads)

    one = (conv("stem", (3, 16, 32, 32, 3, 1), ()), conv("a1", (16, 16, 32, 32, 3, 1), ("stem",)),
           conv("a2", (16, 16, 32, 32, 3, 1), ("a1",)), add("a", 16, 32, ("a2", "stem")))  # fmt: skip
    two = (conv("b1", (16, 32, 32, 16, 3, 2), ("a",)), conv("b2", (32, 32, 16, 16, 3, 1), ("b1",)),
           conv("bs", (16, 32, 32, 16, 1, 2), ("a",)), add("b", 32, 16, ("b2", "bs")))  # fmt: skip
    three = (conv("c1", (32, 64, 16, 8, 3, 2), ("b",)), conv("c2", (64, 64, 8, 8, 3, 1), ("c1",)),
             conv("cs", (32, 64, 16, 8, 1, 2), ("b",)), add("c", 64, 8, ("c2", "cs")))  # fmt: skip
    heads = head("h1", 16, 32, "a"), head("h2", 32, 16, "b"), head("h3", 64, 8, "c")
    group = 6
    stages = [Stage(body, branch, 8, group, 0) for body, branch in zip((one, two, three), heads, strict=True)]
    whole = Stage((*one, *two, *three), heads[2], 8, group, 0)
    return {**{f"e{k}": Workload(tuple(stages[:k])) for k in (1, 2, 3)}, "bb": Workload((whole,))}


def networks() -> list[dict]:
    spec, paths = load_accelerator("quad_tpu"), resnet8_paths()
    lines = []
    for run in json.loads((REFERENCE / "stream_networks.json").read_text())["runs"]:
        _, path, _, mode = run["tag"].split("_")
        if mode not in ("lbl", "resident"):
            continue
        backend = MulticoreBackend(replace(spec, keep_activations_on_chip=mode == "resident"))
        cost = backend.evaluate(paths[path]).exits[-1]
        latency, energy = cost.latency_s * spec.clock_hz, cost.energy_j * 1e12
        lines.append(
            {
                "network": path, "mode": mode, "latency_cycles": latency, "stream_latency_cycles": run["latency"],
                "latency_error": latency / run["latency"] - 1, "energy_pj": energy,
                "stream_energy_pj": run["energy_pJ"], "energy_error": energy / run["energy_pJ"] - 1,
            }
        )  # fmt: skip
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hardware", type=Path, nargs="*", default=[], help="further folders of core files")
    parser.add_argument("--mappings", type=Path, nargs="*", default=[], help="further folders of mapping files")
    options = parser.parse_args()
    own = REFERENCE / "hardware"
    result: dict[str, object] = {}
    for name in ("given", "generated"):
        rows = json.loads((REFERENCE / f"zigzag_{name}.json").read_text())["records"]
        result[name] = lines = summarise(errors(rows, [own, *options.hardware], [own, *options.mappings]))
        print(f"\nZigZag, {name} rows: mean (worst) absolute error, rank correlation")
        for line in lines:
            print(
                f"  {line['core']:22} {line['mapping']:20} {line['bits']:2} bits {line['objective']:7}"
                f" {line['layers']:3} layers"
                f"  latency {line['latency_error']:.2%} ({line['latency_worst']:.1%}) {line['latency_spearman']:.4f}"
                f"  energy {line['energy_error']:.2%} ({line['energy_worst']:.1%}) {line['energy_spearman']:.4f}"
                f"  exact {line['exact']:.0%}"
            )
    result["networks"] = networks()
    print("\nStream, ResNet-8 on four cores")
    for line in networks():
        print(
            f"  {line['network']:3} {line['mode']:9} latency {line['latency_cycles']:8.0f} against "
            f"{line['stream_latency_cycles']:8.0f} ({line['latency_error']:+.1%})  "
            f"energy {line['energy_pj'] / 1e6:6.2f} uJ "
            f"against {line['stream_energy_pj'] / 1e6:6.2f} uJ ({line['energy_error']:+.1%})"
        )
    provenance.write("zigzag_agreement", result, (SEED,), "zigzag-dse")


if __name__ == "__main__":
    main()
