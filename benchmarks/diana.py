"""How far the diana backend is off the published figures of the chip.

Published (Houshmand et al., JSSC 58(1), 2023): peaks of 600 TOPS/W (analog) and 14 TOPS/W (digital), and 7.02 TOPS/W
end to end for a CIFAR-10 residual network. A MAC counts as two operations. Writes results/diana.json; given a run of
``eenn-rl train --backend diana``, also what that search found.

    python benchmarks/diana.py [--run RUN]
"""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import provenance

from eenn_diana import parameters as p
from eenn_diana.backend import DianaBackend
from eenn_diana.costs import analog_run, digital_run, tiling
from eenn_rl.backbone import Backbone, Layer
from eenn_rl.hardware import load_accelerator
from eenn_rl.workload import Stage, Workload
from eenn_rl.zoo import make_backbone

RESULTS = provenance.RESULTS / "diana.json"
DIGITAL, ANALOG = 0, 1


@dataclass(frozen=True)
class Row:
    """One figure: what it is, as modelled, as published (None: not published), and their ratio."""

    what: str
    unit: str
    modelled: float
    published: float | None
    ratio: float | None


def row(what: str, unit: str, modelled: float, published: float | None = None) -> Row:
    return Row(what, unit, modelled, published, modelled / published if published else None)


def peaks() -> list[Row]:
    """Layers that fill each core."""
    layer = Layer("full", "conv", 1, 128, 512, (16, 16), (16, 16), (3, 3), (1, 1), (1, 1))
    analog = analog_run(layer, tiling(layer, unrolled=True)).energy_j
    macro = sum(analog[place] for place in ("dac", "adc", "cells"))
    digital = digital_run(layer)
    return [
        row("analog core, full array", "TOPS/W", 2 * layer.macs / macro / 1e12, 600.0),
        row("digital core, full array", "TOPS/W", 2 * layer.macs / digital.energy_j["mac"] / 1e12, 14.0),
        row("analog core with its L1 traffic", "TOPS/W", 2 * layer.macs / sum(analog.values()) / 1e12),
        row(
            "a product of the array, in L1 port cycles", "cycles", p.ACCESS_S * p.CLOCK_HZ,
            p.ROWS * p.STORED_BITS / p.L1_PORT_BITS,
        ),
    ]  # fmt: skip


def end_to_end(backbone: Backbone, analog_from: int) -> tuple[float, float]:
    """TOPS/W and latency (s) with the layers from `analog_from` on the analog core, those before on the digital one."""
    first, rest = backbone.layers[:analog_from], backbone.layers[analog_from:]
    stages = [Stage(first, (), 8, DIGITAL, DIGITAL)] if first else []
    stages += [Stage(rest, (), 2, ANALOG, ANALOG)] if rest else []
    cost = DianaBackend(load_accelerator("diana")).evaluate(Workload(tuple(stages))).exits[-1]
    return 2 * backbone.macs / cost.energy_j / 1e12, cost.latency_s


def networks() -> list[Row]:
    """The CIFAR-10 residual networks: first layer digital and the rest analog, as measured, and all on one core."""
    rows = []
    for name in ("resnet20", "resnet8"):
        backbone = make_backbone(name, (3, 32, 32))
        published = 7.02 if name == "resnet20" else None
        for what, analog_from in (("first layer digital", 1), ("all analog", 0), ("all digital", len(backbone.layers))):
            efficiency, latency = end_to_end(backbone, analog_from)
            rows.append(
                row(f"{name}, {what}", "TOPS/W", efficiency, published if what == "first layer digital" else None)
            )
            rows.append(row(f"{name}, {what}", "ms", latency * 1e3))
    return rows


def found(run: Path) -> dict[str, Any]:
    """What a search on the chip found: the static networks, and every verified architecture with the cores it uses."""
    command = [sys.executable, "-m", "eenn_rl.cli", "show", str(run), "--json"]
    shown = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    verified = [
        {
            "exits": [
                f"block {e['location']} {e['branch']} {e['bits']}b on {'analog' if e['core'] else 'digital'}"
                f"/{'analog' if e['branch_core'] else 'digital'}"
                for e in item["architecture"]["exits"]
            ],
            "feasible": item["feasible"],
            **{name: item["measured"][name] for name in ("accuracy", "accuracy_difference", "exit_rates")},
            **{name: item[name] for name in ("elp_reduction", "elp_reduction_best_bits")},
        }
        for item in shown["verified"]
    ]
    kept = ("accuracy", "energy_j", "latency_s", "elp")
    return {
        "command": "eenn-rl train --backend diana",
        "space_size": shown["space_size"],
        **{which: {name: shown[which][name] for name in kept} for which in ("static", "static_best_bits")},
        "verified": verified,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path)
    arguments = parser.parse_args()
    rows = [*peaks(), *networks()]
    for r in rows:
        published = "" if r.published is None else f"   published {r.published:8.4g}   ratio {r.ratio:.3f}"
        print(f"{r.what:45} {r.modelled:10.4g} {r.unit:7}{published}")
    earlier = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    search = found(arguments.run) if arguments.run else earlier.get("search")
    provenance.write("diana", {"rows": [asdict(r) for r in rows], "search": search}, seeds=())


if __name__ == "__main__":
    main()
