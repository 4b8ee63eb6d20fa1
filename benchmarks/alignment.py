"""The effect the reference paper builds on: channel counts that do not fit the array cost far more than their MACs.

    python benchmarks/alignment.py

Costs a small convolutional network (three 3x3 convolutions of c channels on a 32x32 map) for every c from 16 to 96 on
two fixed dataflows: K x C on 32 x 32 units, and K x C x OX x OY on 8 x 8 x 4 x 4 units.
Writes the curve, its cliffs
and a plot to `results/` (the plot as SVG, without any plotting package).
"""

from dataclasses import replace
from itertools import pairwise

import provenance

from eenn_multicore.backend import MulticoreBackend
from eenn_rl.backbone import Layer
from eenn_rl.hardware import AcceleratorSpec, Dataflow, Unrolling, load_accelerator
from eenn_rl.workload import Stage, Workload

CHANNELS = range(16, 97)


def dataflow_32x32() -> AcceleratorSpec:
    spec = load_accelerator("quad_tpu")
    flow = Dataflow((Unrolling("D1", "K", 32), Unrolling("D2", "C", 32)))
    core = replace(spec.cores[0], dataflows=(flow,))
    return replace(spec, cores=(core,), links=(), allocations=((0,),), resident_weights=True)


def dataflow_8x8x4x4() -> AcceleratorSpec:
    return replace(load_accelerator("single_edge_tpu"), resident_weights=True)


def network(channels: int) -> Workload:
    layers: list[Layer] = []
    for index in range(3):
        reads = (layers[-1].name,) if layers else ()
        layers.append(
            Layer(f"conv{index}", "conv", 1, channels, channels, (32, 32), (32, 32), (3, 3), (1, 1), (1, 1), reads)
        )
    return Workload((Stage(tuple(layers), (), 8, 0, 0),))


def curve(spec: AcceleratorSpec) -> list[dict]:
    backend = MulticoreBackend(spec)
    points = []
    for channels in CHANNELS:
        workload = network(channels)
        cost = backend.evaluate(workload).exits[-1]
        macs = sum(layer.macs for layer in workload.stages[0].layers)
        elp = cost.energy_j * cost.latency_s
        points.append(
            {"channels": channels, "energy_j": cost.energy_j, "latency_s": cost.latency_s, "elp": elp, "macs": macs}
        )
    return points


def cliffs(points: list[dict]) -> list[dict]:
    """Steps of one channel that cost far more than their MACs."""
    found = []
    for before, after in pairwise(points):
        step, fair = after["elp"] / before["elp"], (after["macs"] / before["macs"]) ** 2
        if step > 1.15 * fair:
            found.append({"channels": after["channels"], "elp_step": step, "macs_step_squared": fair})
    return found


def svg(curves: dict[str, list[dict]]) -> str:
    """ELP over channels, each curve relative to its value at 16 channels; the dashed line grows as MACs squared."""
    width, height, left, top = 760, 420, 70, 30
    colours = ("#0b6e99", "#c1440e")
    highest = max(p["elp"] / points[0]["elp"] for points in curves.values() for p in points)

    def x(channels: float) -> float:
        return left + (channels - CHANNELS[0]) / (CHANNELS[-1] - CHANNELS[0]) * (width - left - 20)

    def y(value: float) -> float:
        return height - 50 - value / highest * (height - 50 - top)

    size = f'width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        f'<rect {size} fill="white"/>',
    ]
    for channels in range(16, 97, 8):
        parts.append(f'<text x="{x(channels):.1f}" y="{height - 30}" text-anchor="middle">{channels}</text>')
        parts.append(
            f'<line x1="{x(channels):.1f}" x2="{x(channels):.1f}" y1="{top}" y2="{height - 50}" stroke="#eee"/>'
        )
    parts += [
        f'<text x="{left - 8}" y="{y(share * highest) + 4:.1f}" text-anchor="end">{share * highest:,.0f}</text>'
        for share in (0.25, 0.5, 0.75, 1.0)
    ]
    for place, (name, points) in enumerate(curves.items()):
        line = " ".join(f"{x(p['channels']):.1f},{y(p['elp'] / points[0]['elp']):.1f}" for p in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colours[place]}" stroke-width="2"/>')
        parts.append(f'<text x="{left + 15}" y="{top + 18 * (place + 1)}" fill="{colours[place]}">{name}</text>')
    points = next(iter(curves.values()))
    fair = " ".join(f"{x(p['channels']):.1f},{y((p['macs'] / points[0]['macs']) ** 2):.1f}" for p in points
                    if (p["macs"] / points[0]["macs"]) ** 2 <= highest)  # fmt: skip
    parts.append(f'<polyline points="{fair}" fill="none" stroke="#888" stroke-dasharray="5 4"/>')
    parts.append(f'<text x="{left + 15}" y="{top + 54}" fill="#888">MACs squared</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">channels</text>')
    parts.append(f'<text x="16" y="{height / 2}" transform="rotate(-90 16 {height / 2})" text-anchor="middle">'
                 "energy-latency product, relative</text></svg>")  # fmt: skip
    return "\n".join(parts) + "\n"


def main() -> None:
    curves = {"K 32 x C 32": curve(dataflow_32x32()), "K 8 x C 8 x OX 4 x OY 4": curve(dataflow_8x8x4x4())}
    result = {name: {"points": points, "cliffs": cliffs(points)} for name, points in curves.items()}
    for name, entry in result.items():
        print(f"{name}: ELP steps beyond their MACs when passing")
        for cliff in entry["cliffs"]:
            print(f"  {cliff['channels'] - 1} -> {cliff['channels']} channels: x{cliff['elp_step']:.2f} "
                  f"(MACs squared: x{cliff['macs_step_squared']:.2f})")  # fmt: skip
    written = provenance.write("alignment", result, seeds=())
    plot = written.with_suffix(".svg")
    plot.write_text(svg(curves))
    print(f"plot: {plot}")


if __name__ == "__main__":
    main()
