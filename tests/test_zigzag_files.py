"""ZigZag's and Stream's files: both port notations, mappings, multi-core accelerators, what is not modelled."""

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from eenn_multicore.backend import MulticoreBackend
from eenn_rl.errors import InputFileError
from eenn_rl.hardware import load_accelerator
from eenn_rl.hardware.zigzag_files import read_mapping
from eenn_rl.layer_file import parse_layers

HARDWARE = Path(__file__).parents[1] / "benchmarks" / "reference" / "hardware"
CORE_B = HARDWARE / "B_tpu_like_core_dram.yaml"
LAYER = parse_layers(
    [{"name": "l", "kind": "conv", "in_channels": 8, "out_channels": 16, "in_size": 8, "kernel": 3}], "x"
)[0]


def _write(path: Path, data: Any) -> str:
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return str(path)


def _core() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(CORE_B.read_text())
    return data


def _old_notation(memory: dict[str, Any]) -> dict[str, Any]:
    """A memory as ZigZag wrote it before ports had names and widths of their own."""
    ports = memory.pop("ports")
    read = next(p for p in ports if p["type"] != "write")
    write = next(p for p in ports if p["type"] != "read")
    given: dict[str, dict[str, str]] = {operand: {} for operand in memory["operands"]}
    for port in ports:
        for text in port["allocation"]:
            operand, direction = text.split(", ")
            given[operand][direction] = port["name"]
    return memory | {
        "r_bw": read["bandwidth_max"], "w_bw": write["bandwidth_max"], "min_r_granularity": read["bandwidth_min"],
        "min_w_granularity": write["bandwidth_min"], "r_port": 1, "w_port": 1, "rw_port": 0,
        "ports": list(given.values()),
    }  # fmt: skip


def test_both_notations_agree(tmp_path: Path) -> None:
    """A core costs the same in today's and in the older port notation."""
    data = _core()
    data["memories"] = {name: _old_notation(memory) for name, memory in data["memories"].items()}
    old = load_accelerator(_write(tmp_path / "old.yaml", data))
    new = load_accelerator(str(CORE_B))
    costs = [MulticoreBackend(spec).cost_layer(LAYER.layer, 8, 0) for spec in (old, new)]
    assert costs[0].latency_cycles == costs[1].latency_cycles
    assert costs[0].energy_j == costs[1].energy_j


def test_clock() -> None:
    """Cycles last 1 ns unless a clock is given."""
    costs = [MulticoreBackend(load_accelerator(str(CORE_B), hz)).cost_layer(LAYER.layer, 8, 0) for hz in (None, 2e8)]
    assert costs[0].latency_cycles is not None
    assert costs[0].latency_s == pytest.approx(costs[0].latency_cycles * 1e-9)
    assert costs[1].latency_s == pytest.approx(costs[0].latency_s * 5)


def test_clock_and_accumulator_of_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file's own clock holds unless the user gives one; its accumulator's width is the partial sums'."""
    given = {"clock_hz": 2e8, "operand_precision": {"input": "bf16", "accumulator": "fp32"}, "fifos": 2}
    path = _write(tmp_path / "core.yaml", _core() | given)
    core = load_accelerator(path).cores[0]
    assert (core.clock_hz, core.partial_sum_bits) == (2e8, 32)
    assert load_accelerator(path, 5e8).cores[0].clock_hz == 5e8
    said = [record.getMessage() for record in caplog.records]
    assert any("input bf16 is not modelled" in text for text in said)
    assert any("fifos is not modelled" in text for text in said)
    bad = _write(tmp_path / "bad.yaml", _core() | {"operand_precision": {"accumulator": "wide"}})
    with pytest.raises(InputFileError, match="accumulator must be a width"):
        load_accelerator(bad)


def test_not_modelled_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a file asks for that the model lacks is a warning that names the file and the key; the layer is costed."""
    data = _core()
    data["memories"]["sram_2MB"].update(latency=7, r_cost=None, w_cost=None, auto_cost_extraction=True, refresh=3)
    with caplog.at_level(logging.WARNING):
        spec = load_accelerator(_write(tmp_path / "odd.yaml", data))
    said = caplog.text
    assert "sram_2MB: refresh is not modelled" in said
    assert "access latency of 7 cycles" in said
    assert "no CACTI here" in said
    assert MulticoreBackend(spec).cost_layer(LAYER.layer, 8, 0).energy_j > 0


def test_estimated_sram_energy(tmp_path: Path) -> None:
    """The estimate for a memory without costs is near ZigZag's own 2 MB SRAM, which it was not given."""
    data = _core()
    data["memories"]["sram_2MB"].update(r_cost=None, w_cost=None, auto_cost_extraction=True)
    spec = load_accelerator(_write(tmp_path / "cacti.yaml", data))
    assert spec.cores[0].memories[-1].read_energy_j == pytest.approx(416.16e-12, rel=0.05)


def test_in_memory_array(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An in-memory array costs a layer, bit-serial inputs slow it down, and its circuits are named as not modelled."""
    data = _core()
    data["operational_array"] = {
        "is_imc": True, "imc_type": "digital", "input_precision": [8, 8], "bit_serial_precision": 2,
        "dimensions": ["D1", "D2"], "sizes": [32, 32],
    }  # fmt: skip
    spec = load_accelerator(_write(tmp_path / "imc.yaml", data))
    assert "in-memory array" in caplog.text
    assert spec.cores[0].supported_bits == (1, 2, 4, 8)
    slow, fast = (MulticoreBackend(spec).cost_layer(LAYER.layer, bits, 0) for bits in (8, 2))
    assert slow.latency_s > fast.latency_s


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["memories"]["dram"].pop("size"), "memories.dram: expected the key 'size'"),
        (lambda d: d["memories"]["dram"].update(size=-1), "size must be a number of at least 0, and finite"),
        (lambda d: d["memories"]["dram"].update(size=float("inf")), "size must be a number of at least 0, and finite"),
        (lambda d: d["memories"]["dram"].update(size=10**400), "size_bits must be at most"),
        (lambda d: d["memories"]["dram"].update(r_cost=float("inf")), "read_energy_j must be at least 0, and finite"),
        (lambda d: d["memories"]["rf_2B"]["ports"][0].update(type="foo"), "type must be read, write or read_write"),
        (lambda d: d["memories"]["rf_2B"]["ports"][0].update(type=[]), "type must be read, write or read_write"),
        (lambda d: d["operational_array"].update(sizes=[16.9, 16]), "sizes must be a whole number, found 16.9"),
        (lambda d: d.update(memories={}), "memories: expected at least one, found none"),
        (lambda d: d["memories"]["dram"].update(operands=["I3"]), "operands must be of I1, I2, O, found 'I3'"),
        (lambda d: d["operational_array"].update(sizes=[1]), "as many sizes as dimensions"),
        (lambda d: d["memories"]["rf_2B"]["ports"][0].update(allocation=["O, up"]), "must end in fh, tl, fl or th"),
    ],
)
def test_broken_core(tmp_path: Path, change: Any, message: str) -> None:
    """A broken ZigZag file is refused in one line with the file, the key and the value."""
    data = _core()
    change(data)
    path = _write(tmp_path / "broken.yaml", data)
    with pytest.raises(InputFileError) as caught:
        load_accelerator(path)
    assert message in str(caught.value)
    assert path in str(caught.value)


def test_mapping() -> None:
    """A mapping file gives one dataflow per operator; Add and Pooling become the kinds add and pool."""
    flows, notes = read_mapping(yaml.safe_load((HARDWARE / "C_mapping.yaml").read_text()), "C")
    assert [flow.kinds for flow in flows] == [(), ("add",), ("pool",)]
    assert [(u.loop, u.size) for u in flows[0].unrolling] == [("K", 8), ("C", 8), ("OX", 4), ("OY", 4)]
    assert notes == ()
    with pytest.raises(InputFileError, match="expected a list of mappings"):
        read_mapping({"a": 1}, "C")
    with pytest.raises(InputFileError, match="such as 'K, 8', found 'K'"):
        read_mapping([{"name": "default", "spatial_mapping": {"D1": ["K"]}}], "C")
    with pytest.raises(InputFileError, match=r"C: default: expected loops by dimension, .* found \['K', 8\]"):
        read_mapping([{"name": "default", "spatial_mapping": ["K", 8]}], "C")
    with pytest.raises(InputFileError, match="such as 'K, 8', found 'K, 999"):
        read_mapping([{"name": "default", "spatial_mapping": {"D1": [f"K, {'9' * 5000}"]}}], "C")
    with pytest.raises(InputFileError, match="C: default: memory_operand_links: expected names by operand, found 5"):
        read_mapping([{"name": "default", "memory_operand_links": 5}], "C")


def _stream(tmp_path: Path) -> str:
    """A dual-core accelerator as Stream describes one: core files beside it, a bus and the off-chip controller."""
    (tmp_path / "cores").mkdir()
    core = _core()
    dram = core["memories"].pop("dram")
    _write(tmp_path / "cores" / "tpu.yaml", core | {"type": "zigzag.compute"})
    pool = core | {"name": "pooling", "operator_types": ["MaxPool"]}
    _write(tmp_path / "cores" / "pooling.yaml", pool)
    off = {"name": "offchip", "type": "zigzag.offchip", "memories": {"dram": dram},
           "operational_array": {"unit_energy": 0, "dimensions": ["D1", "D2"], "sizes": [0, 0]}}  # fmt: skip
    _write(tmp_path / "cores" / "offchip.yaml", off)
    return _write(
        tmp_path / "dual.yaml",
        {
            "name": "dual", "cores": {0: "tpu.yaml", 1: "./cores/tpu.yaml", 2: "pooling.yaml", 3: "offchip.yaml"},
            "offchip_core_id": 3, "unit_energy_cost": 32,
            "core_connectivity": [
                {"type": "link", "cores": [0, 1], "bandwidth": 32},
                {"type": "bus", "cores": [0, 1, 2, 3], "bandwidth": 128},
            ],
        },
    )  # fmt: skip


def test_stream_accelerator(tmp_path: Path) -> None:
    """Stream's multi-core files give cores by kind, links and buses, one shared DRAM, singles and the whole group."""
    spec = load_accelerator(_stream(tmp_path))
    assert [core.kind for core in spec.cores] == ["compute", "compute", "pooling"]
    assert spec.dram is not None
    assert spec.dram.bandwidth_bits == 64
    assert spec.allocations == ((0,), (1,), (0, 1))
    assert {link.medium for link in spec.links} == {"", "bus1"}
    assert spec.links[0].energy_j_per_bit == pytest.approx(1e-12)
    assert MulticoreBackend(spec).cost_layer(LAYER.layer, 8, 1).energy_j > 0


def test_stream_core_missing(tmp_path: Path) -> None:
    """A core file that is not there is named, with the folder that was searched."""
    path = _stream(tmp_path)
    (tmp_path / "cores" / "tpu.yaml").unlink()
    with pytest.raises(InputFileError, match=r"expected the core file 'tpu\.yaml' in .*found none"):
        load_accelerator(path)


def test_stream_core_broken(tmp_path: Path) -> None:
    """A core file that is no YAML is named."""
    path = _stream(tmp_path)
    (tmp_path / "cores" / "tpu.yaml").write_text("a: [")
    with pytest.raises(InputFileError, match=r"tpu\.yaml: expected YAML, found something else"):
        load_accelerator(path)
