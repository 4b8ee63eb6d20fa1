"""Accelerators: the types, our own file format, what is shipped."""

from dataclasses import replace
from math import prod
from pathlib import Path

import pytest
import yaml

from eenn_rl.accelerator_view import accelerators_text
from eenn_rl.backbone import Layer
from eenn_rl.cost_report import cost_layers
from eenn_rl.errors import EennError, InputFileError
from eenn_rl.hardware import (
    AcceleratorSpec,
    ArrayDimension,
    CoreSpec,
    Dataflow,
    PortSpec,
    Precision,
    Unrolling,
    load_accelerator,
    shipped_accelerators,
)
from eenn_rl.hardware.narrow import narrow_dataflows
from eenn_rl.layer_file import ListedLayer
from eenn_rl.serialization import from_json, to_json

FILES = Path(__file__).parents[1] / "eenn_rl" / "accelerators"


@pytest.mark.parametrize("name", shipped_accelerators())
def test_shipped(name: str) -> None:
    """Every shipped accelerator loads, names its sources, and survives a round trip through JSON."""
    spec = load_accelerator(name)
    assert spec.name == name
    assert len(spec.source) > 40
    assert from_json(AcceleratorSpec, to_json(spec), name) == spec
    assert all(spec.allocation_bits(index) for index in range(len(spec.allocations)))


def test_what_is_shipped() -> None:
    """The paper's quad-core, a TPU-like one, DIANA, a heterogeneous and a single-core chip are shipped."""
    assert {"quad_edge_tpu", "quad_tpu", "diana", "hetero_quad", "single_edge_tpu"} <= set(shipped_accelerators())
    hetero = load_accelerator("hetero_quad")
    assert len({core.dataflows for core in hetero.cores}) == 4


def test_core_ties_the_bits() -> None:
    """On DIANA the choice of the core is a choice of the bit-width; a group supports what all its cores do."""
    diana = load_accelerator("diana")
    assert {diana.allocation_name(i): diana.allocation_bits(i) for i in range(2)} == {"digital": (8,), "analog": (2,)}
    hetero = load_accelerator("hetero_quad")
    both = replace(hetero, allocations=((0, 2),))
    assert both.allocation_bits(0) == (4, 8)
    assert both.allocation_name(0) == "matrix+row"


def test_operating_points() -> None:
    """At another operating point energies scale with the voltage's square and the clock is the point's."""
    core = next(core for core in load_accelerator("hetero_quad").cores if core.name == "matrix")
    low = core.at_point("low")
    assert low.clock_hz == 2.5e8
    assert low.precisions[0].mac_energy_j == pytest.approx(core.precisions[0].mac_energy_j * (0.6 / 0.8) ** 2)
    assert low.memories[-1].read_energy_j == pytest.approx(core.memories[-1].read_energy_j * (0.6 / 0.8) ** 2)
    with pytest.raises(EennError, match=r"operating point must be one of nominal, low, found 'turbo'"):
        core.at_point("turbo")


def _broken(tmp_path: Path, change: object) -> Path:
    data = yaml.safe_load((FILES / "single_edge_tpu.yaml").read_text())
    change(data)  # type: ignore[operator]
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(colour="red"), "colour"),
        (lambda d: d["cores"].update(core0="edge"), "unknown core type of core0 'edge'"),
        (lambda d: d["allocations"].append(["core7"]), "unknown core in allocations 'core7'"),
        (lambda d: d["core_types"]["edge_tpu"]["array"].update(D1=0), "size must be at least 1, found 0"),
        (lambda d: d["core_types"]["edge_tpu"]["memories"][0].update(size_bits="big"), "memories.0.size_bits"),
        (lambda d: d["core_types"]["edge_tpu"]["memories"][0].update(served=["D9"]), "served must be names of array"),
        (lambda d: d["dram"].update(bandwidth_bits=0), "bandwidth_bits must be at least 1"),
        (lambda d: d.pop("cores"), "cores"),
        (lambda d: d["core_types"]["edge_tpu"]["dataflow"].update({"pol add": {}}), "unknown layer kind of a dataflow"),
        (lambda d: d.update(allocations=[["core0"], ["core0"]]), "allocations must be sets of cores that differ"),
        (lambda d: d.update(clock_hz=float("inf")), "clock_hz must be more than 0, and finite, found inf"),
        (lambda d: d["core_types"]["edge_tpu"].update(clock_hz=-1.0), "clock_hz must be more than 0"),
        (lambda d: d["dram"].update(read_pj=-7000.0), "dram: read_energy_j must be at least 0, and finite, found -7"),
        (lambda d: d["dram"].update(granule_bits=0), "dram: granule_bits must be at least 1"),
        (lambda d: d["core_types"]["edge_tpu"].update(clock_hz=0), "clock_hz must be more than 0, and finite, found 0"),
        (
            lambda d: d["core_types"]["edge_tpu"]["memories"][0].update(granule_bits=0),
            "granule_bits must be at least 1",
        ),
        (lambda d: d["core_types"]["edge_tpu"]["memories"][0].update(read_pj=float("inf")), "read_energy_j must be at"),
        (
            lambda d: d["core_types"]["edge_tpu"]["memories"][0].update(size_bits=10**400),
            "size_bits must be at most 900",
        ),
        (lambda d: d["core_types"]["edge_tpu"]["precisions"][8].update(mac_pj=float("inf")), "mac_energy_j must be at"),
        (lambda d: d["core_types"]["edge_tpu"]["precisions"][8].update(throughput=float("inf")), "throughput must be"),
        (lambda d: d["core_types"]["edge_tpu"]["dataflow"].update(default={"D9": [["K", 8]]}), "array dimension must"),
    ],
)
def test_broken_file(tmp_path: Path, change: object, message: str) -> None:
    """A file that breaks a rule is refused in one line that names the file, the key, the value and the bound."""
    path = _broken(tmp_path, change)
    with pytest.raises(InputFileError) as caught:
        load_accelerator(str(path))
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_accelerator(tmp_path: Path) -> None:
    """A wrong name gets the near misses, a missing file and a file that is no YAML their own line."""
    with pytest.raises(EennError, match="did you mean quad_edge_tpu"):
        load_accelerator("quad_edge_tpus")
    with pytest.raises(InputFileError, match="found none: check the path"):
        load_accelerator(str(tmp_path / "absent.yaml"))
    path = tmp_path / "bad.yaml"
    path.write_text("a: [")
    with pytest.raises(InputFileError, match="expected YAML"):
        load_accelerator(str(path))
    path.write_text("just text")
    with pytest.raises(InputFileError, match="expected an accelerator"):
        load_accelerator(str(path))


def test_port_bounds() -> None:
    """A port narrower than its own granule is refused."""
    with pytest.raises(EennError, match=r"bandwidth_bits must be at least granule_bits \(64\), found 8"):
        PortSpec("r", "read", 64, 8, ())


def test_view() -> None:
    """The list names every shipped accelerator; one in full shows cores, memories, allocations and sources."""
    listed = accelerators_text()
    assert all(name in listed for name in shipped_accelerators())
    text = accelerators_text("diana")
    for part in ("analog", "cells", "l1_256KB", "ISSCC 2022", "1: analog at 2 bits", "K 16, OX 16", "pool, add: G 16"):
        assert part in text


def test_view_of_clocks_and_a_bus() -> None:
    """Links that are one bus say so; those of their own do not; clocks are read at a glance."""
    bus, mesh = accelerators_text("hetero_quad"), accelerators_text("quad_edge_tpu")
    assert bus.count("64 bits per cycle, 0.24 pJ per bit, shared: bus") == len(load_accelerator("hetero_quad").links)
    assert "shared" not in mesh.split("\nLinks")[1]
    assert "250 MHz" in bus
    assert "at 500 MHz, 256 pJ per read" in bus
    assert "1 GHz" in mesh


def documented(folder: Path, before: str = "", after: str = "") -> Path:
    """The file that docs/accelerators.md shows, with `after` in place of `before`."""
    page = (Path(__file__).parents[1] / "docs" / "accelerators.md").read_text()
    path = folder / "documented.yaml"
    text = page.split("```yaml\n")[1].split("```")[0]
    assert before in text
    path.write_text(text.replace(before, after))
    return path


def test_documented_format(tmp_path: Path) -> None:
    """The file that docs/accelerators.md shows is a valid accelerator, at the operating point it names."""
    spec = load_accelerator(documented(tmp_path))
    assert spec.allocations == ((0,), (1,), (0, 1))
    assert spec.cores[0].clock_hz == 2.5e8


POOL = Layer("pool", "pool", 1, 16, 16, (32, 32), (16, 16), (2, 2), (2, 2), pooling="max")
ADD = Layer("add", "add", 1, 16, 16, (16, 16), (16, 16))


@pytest.mark.parametrize("layer", [POOL, ADD])
def test_who_copies_the_documented_core_pools_with_its_array(layer: Layer, tmp_path: Path) -> None:
    """Sixteen channels at a time or more; what remains over one unit's cycles is the way from and to DRAM."""
    chip = load_accelerator(documented(tmp_path))
    (cost,) = cost_layers((ListedLayer(layer, 8),), replace(chip, dram=None), "multicore", None)
    assert cost.latency_cycles is not None
    assert cost.latency_cycles < layer.output_elements * prod(layer.kernel) / 4


def test_a_file_that_would_pool_on_one_unit_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line for cores that are alike, with what to write; none where their kind or the array is left to choose."""
    load_accelerator(documented(tmp_path))
    assert not caplog.messages
    load_accelerator(documented(tmp_path, "depthwise pool add:", "depthwise:"))
    (line,) = caplog.messages
    assert "documented.yaml: left, right: pool and add would run on one unit of 256" in line
    assert "`pool add: {D1: [[G, 16]]}`" in line
    caplog.clear()
    load_accelerator(documented(tmp_path, "depthwise pool add:", "depthwise pool:"))
    load_accelerator(documented(tmp_path, "depthwise pool add: {D1: [[G, 16]]", "depthwise: {D1: [[K, 16]]"))
    assert [message.split(" would")[0].split(": ")[-1] for message in caplog.messages] == ["add", "pool and add"]


def test_who_pools_and_adds_decides_whose_dataflow_counts() -> None:
    """A pooling core for pooling, a SIMD core for additions, else the compute cores; a free dimension is enough."""
    sums = Dataflow((Unrolling("D1", "K", 16), Unrolling("D2", "C", 16)))
    array = (ArrayDimension("D1", 16), ArrayDimension("D2", 16))
    compute = CoreSpec("c", "compute", array, (), (Precision(8, 1e-13),), dataflows=(sums,))
    half = replace(compute, name="half", dataflows=(Dataflow(sums.unrolling[:1]),))
    pooling, simd = (CoreSpec(kind, kind, array, (), (Precision(8, 1e-13),)) for kind in ("pooling", "simd"))

    def told(*cores: CoreSpec) -> list[str]:
        return [line.split(" would")[0] for line in narrow_dataflows(AcceleratorSpec("chip", cores))]

    assert told(compute, half) == ["c: pool and add"]
    assert told(compute, simd) == ["c: pool"]
    assert told(compute, pooling) == ["c: add"]
    assert told(compute, pooling, simd) == []
    assert told(compute, replace(pooling, dataflows=(sums,)), simd) == ["pooling: pool"]


def test_no_shipped_accelerator_pools_on_one_unit() -> None:
    """Nor adds."""
    assert [line for name in shipped_accelerators() for line in narrow_dataflows(load_accelerator(name))] == []
