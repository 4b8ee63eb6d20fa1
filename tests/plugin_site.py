"""Real installed plugins, made quickly: a dist-info folder and a module in a directory on the path."""

import textwrap
from pathlib import Path

GOOD = """
from eenn_rl.cost import CostReport, ExitCost
from eenn_rl.hookspecs import hookimpl

class Chip:
    api_version = {api_version}
    def evaluate(self, workload):
        costs, energy, latency = [], 0.0, 0.0
        for stage in workload.stages:
            macs = sum(layer.macs for layer in stage.layers + stage.branch_layers)
            energy, latency = energy + macs * 1e-12, latency + macs * 1e-9
            costs.append(ExitCost(energy, latency))
        return CostReport(tuple(costs))

@hookimpl
def eenn_rl_make_backend({arguments}):
    return Chip()
"""


def good_plugin(api_version: object = 1, arguments: str = "accelerator, backbone") -> str:
    """The source of a working plugin: a picojoule and a nanosecond per MAC."""
    return GOOD.format(api_version=api_version, arguments=arguments)


def install(
    site: Path,
    distribution: str,
    entry_points: dict[str, str],
    modules: dict[str, str],
    version: str = "1.0",
    group: str = "eenn_rl",
) -> Path:
    """Install `distribution` into `site` as pip would leave it; `modules` maps a module's name to its source."""
    site.mkdir(parents=True, exist_ok=True)
    for name, source in modules.items():
        (site / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = [f"{name} = {value}" for name, value in entry_points.items()]
    (info / "entry_points.txt").write_text(f"[{group}]\n" + "\n".join(lines) + "\n")
    return site
