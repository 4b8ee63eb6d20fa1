"""Cost layers with zigzag-dse itself, for `zigzag_agreement.py` to compare with.

Run it in an environment of its own (``pip install zigzag-dse==3.9.1 six``); it needs nothing of eenn-rl:

    python benchmarks/zigzag_rows.py CORE.yaml OUT.json [--mapping MAPPING.yaml] [--bits 8] [--layers LAYERS.json]
"""

import argparse
import json
import logging
import random
import tempfile
import time
from pathlib import Path

import yaml


def random_layers(seed: int, count: int) -> list[dict]:
    """Layers of the kinds and sizes that small networks have; never used to set any constant of the model."""
    rng = random.Random(seed)  # noqa: S311  (shapes, not secrets)
    layers = []
    for index in range(count):
        kind = ("conv", "conv", "pointwise", "depthwise", "conv", "linear")[index % 6]
        channels = rng.choice((3, 8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 72, 96, 128, 160, 192, 256))
        wide = rng.choice((8, 10, 16, 24, 32, 36, 48, 64, 72, 96, 100, 128, 192, 256, 384))
        size = rng.choice((4, 7, 8, 14, 16, 28, 32))
        stride = rng.choice((1, 1, 2))
        kernel = rng.choice((3, 3, 5, 7)) if kind in ("conv", "depthwise") else 1
        if kind == "linear":
            size = stride = 1
        if kind == "depthwise":
            channels = max(16, channels)
            wide = channels
        if kind == "conv" and channels * wide * kernel**2 * size**2 > 2e8:
            size, kernel = min(size, 8), 3
        out = (size - 1) // stride + 1
        layers.append(
            {
                "name": f"{kind}_c{channels}_k{wide}_i{size}_f{kernel}_s{stride}",
                "kind": {"pointwise": "conv"}.get(kind, kind),
                "in_channels": channels,
                "out_channels": wide,
                "in_size": size,
                "out_size": out,
                "kernel": kernel,
                "stride": stride,
            }
        )
    return layers


def workload_of(layer: dict, bits: int, partial: int) -> list[dict]:
    """ZigZag's description of one layer."""
    kernel, stride, size, out = layer["kernel"], layer["stride"], layer["in_size"], layer["out_size"]
    depthwise = layer["kind"] == "depthwise"
    total = max(0, (out - 1) * stride + kernel - size)
    pad = [total // 2, total - total // 2]
    node = {
        "id": 0,
        "name": layer["name"],
        "operator_type": "Gemm" if layer["kind"] == "linear" else "Conv",
        "operand_source": {"I": 0, "W": 0},
        "operand_precision": {"W": bits, "I": bits, "O": partial, "O_final": bits},
    }
    if layer["kind"] == "linear":
        sizes = {"B": 1, "K": layer["out_channels"], "C": layer["in_channels"]}
        node |= {"equation": "O[b][k]+=W[k][c]*I[b][c]", "dimension_relations": []}
    else:
        groups = layer["in_channels"] if depthwise else 1
        sizes = {
            "B": 1,
            "G": groups,
            "K": 1 if depthwise else layer["out_channels"],
            "C": 1 if depthwise else layer["in_channels"],
            "OY": out,
            "OX": out,
            "FY": kernel,
            "FX": kernel,
        }
        node |= {
            "equation": "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]",
            "dimension_relations": [f"ix={stride}*ox+1*fx", f"iy={stride}*oy+1*fy"],
            "pr_loop_dims": ["IX", "IY"],
            "pr_loop_sizes": [size, size],
            "padding": [pad, pad],
        }
    return [node | {"loop_dims": list(sizes), "loop_sizes": list(sizes.values())}]


def cost(layer: dict, core: str, mapping: str, bits: int, partial: int, opt: str) -> dict:
    """One layer's cost by ZigZag, with the settings that the reference rows name."""
    from zigzag.mapping.temporal_mapping import TemporalMappingType
    from zigzag.stages.evaluation.cost_model_evaluation import CostModelStage
    from zigzag.stages.main import MainStage
    from zigzag.stages.mapping.spatial_mapping_generation import SpatialMappingGeneratorStage
    from zigzag.stages.mapping.temporal_mapping_generator_stage import TemporalMappingGeneratorStage
    from zigzag.stages.parser.accelerator_parser import AcceleratorParserStage
    from zigzag.stages.parser.workload_parser import WorkloadParserStage
    from zigzag.stages.results.reduce_stages import MinimalEDPStage, MinimalLatencyStage
    from zigzag.stages.workload_iterator import WorkloadStage

    best = MinimalLatencyStage if opt == "latency" else MinimalEDPStage
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.yaml"
        path.write_text(yaml.safe_dump(workload_of(layer, bits, partial)))
        stages = [
            WorkloadParserStage, AcceleratorParserStage, WorkloadStage, best, SpatialMappingGeneratorStage, best,
            TemporalMappingGeneratorStage, CostModelStage,
        ]  # fmt: skip
        start = time.perf_counter()
        main = MainStage(
            list_of_callables=stages,
            workload=str(path),
            accelerator=core,
            mapping=mapping,
            loma_lpf_limit=6,
            loma_show_progress_bar=False,
            nb_mappings_generated=1,
            enable_mix_spatial_mapping_generation=False,
            access_same_data_considered_as_no_access=True,
            temporal_mapping_type=TemporalMappingType.UNEVEN,
        )
        ((result, _),) = main.run()
    levels: dict[str, float] = {}
    for operand, energies in result.mem_energy_breakdown.items():
        memory_operand = result.memory_operand_links.layer_to_mem_op(operand)
        for level, energy in zip(
            result.accelerator.memory_hierarchy.get_memory_levels(memory_operand), energies, strict=False
        ):
            levels[level.name] = levels.get(level.name, 0.0) + float(energy)
    return {
        "compute_cycles": float(result.ideal_temporal_cycle),
        "stall_cycles": float(result.stall_slack_comb),
        "onload_cycles": float(result.data_onloading_cycle),
        "offload_cycles": float(result.data_offloading_cycle),
        "latency_cycles": float(result.latency_total2),
        "energy_pj": float(result.energy_total),
        "mac_energy_pj": float(result.mac_energy),
        "energy_pj_by_level": levels,
        "spatial_mapping": str(result.layer.spatial_mapping),
        "zigzag_wall_s": time.perf_counter() - start,
    }


FREE = [{"name": "default", "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"}}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("core", help="a core in ZigZag's YAML, or the name of one inside zigzag-dse")
    parser.add_argument("out", type=Path)
    parser.add_argument("--mapping", default="free", help="ZigZag's mapping file; or the name of one inside it")
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--partial-sum-bits", type=int, default=16)
    parser.add_argument("--opt", choices=("latency", "EDP"), default="latency")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--layers", type=Path, help="JSON list of layers; random ones otherwise")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    import zigzag

    inside = Path(zigzag.__file__).parent / "inputs"
    core = options.core if Path(options.core).is_file() else str(inside / "hardware" / f"{options.core}.yaml")
    mapping = options.mapping
    with tempfile.TemporaryDirectory() as folder:
        if mapping == "free":
            mapping = str(Path(folder) / "free.yaml")
            Path(mapping).write_text(yaml.safe_dump(FREE))
        elif not Path(mapping).is_file():
            mapping = str(inside / "mapping" / f"{mapping}.yaml")
        layers = (
            json.loads(options.layers.read_text()) if options.layers else random_layers(options.seed, options.count)
        )
        records = []
        for layer in layers:
            row = layer | {"hardware": Path(core).stem, "mapping": options.mapping, "bits": options.bits}
            row |= {"partial_sum_bits": options.partial_sum_bits, "objective": options.opt}
            try:
                row |= cost(layer, core, mapping, options.bits, options.partial_sum_bits, options.opt)
            except Exception as error:  # noqa: BLE001  (a layer that ZigZag cannot map is worth recording)
                row["failed"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            records.append(row)
            print(row["name"], row.get("latency_cycles"), row.get("failed", ""), flush=True)
            options.out.write_text(json.dumps({"tool": "zigzag-dse 3.9.1", "records": records}, indent=1))


if __name__ == "__main__":
    main()
