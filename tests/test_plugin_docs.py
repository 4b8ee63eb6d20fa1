"""docs/plugins.md says what the code does: its reference, its examples and its numbers."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs_reference import BEGIN, DOCS, END, NAMES, reference
from eenn_rl import evaluator, guard, hookspecs, sources
from eenn_rl.backend_template import package_files
from eenn_rl.cost_report import LayerCosting
from eenn_rl.plugins import OLDEST_API_VERSION
from eenn_rl.space import SearchSpace
from eenn_rl.testing import PROMISES, Plausible, check_all, subject_for
from plugin_site import install

TEXT = DOCS.read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT.split(BEGIN)[0], re.DOTALL)
MPIC = Path(__file__).parent.parent / "examples" / "mpic_backend"


def test_every_hook_signature_and_type_in_the_docs_equals_the_code() -> None:
    """The reference is the code's own; `python tests/docs_reference.py` writes it anew."""
    assert TEXT.split(BEGIN)[1].split(END)[0].strip() == reference()


def test_the_reference_holds_every_hook_and_protocol() -> None:
    """Nothing that a plugin may implement is missing from it."""
    public = {name for name in hookspecs.__all__ if isinstance(getattr(hookspecs, name), type)}
    assert public <= set(NAMES[hookspecs])
    for hook in (name for name in vars(hookspecs.HookSpecs) if name.startswith("eenn_rl_")):
        assert f"def {hook}(" in reference()


def test_the_smallest_backend_of_the_docs_keeps_every_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied from the page, installed, and checked by the kit; thirty lines at most, as promised."""
    (source,) = [block for block in BLOCKS if "class TinyChip:" in block]
    assert len(source.splitlines()) <= 30
    value = re.search(r'tinychip = "(\w+)"', TEXT)
    assert value is not None
    monkeypatch.syspath_prepend(install(tmp_path, "tiny-chip", {"tinychip": value[1]}, {value[1]: source}))
    check_all(subject_for("tinychip"))


def test_the_chip_of_the_docs_is_one_that_a_search_can_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest backend with the chip below it: its allocations and bits are what is searched over."""
    sources = [block for block in BLOCKS if "class TinyChip:" in block or 'AcceleratorSpec("tinychip"' in block]
    assert len(sources) == 2
    site = install(tmp_path, "own-chip", {"ownchip": "own_chip"}, {"own_chip": "\n".join(sources)})
    monkeypatch.syspath_prepend(site)
    subject = subject_for("ownchip")
    check_all(subject)
    space = SearchSpace(subject.backbone, subject.accelerator)
    assert (len(subject.accelerator.allocations), space.usable_bits) == (3, (4, 8))


def python_with(site: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run python where the plugins of `site` are installed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=environment)


def test_the_accelerator_file_of_the_docs_can_lie_in_a_plugin(tmp_path: Path) -> None:
    """A package with the smallest backend, the hook that loads a file beside it, and the file of accelerators.md."""
    chip = re.search(r"```yaml\n(.*?)```", (DOCS.parent / "accelerators.md").read_text("utf-8"), re.DOTALL)
    assert chip is not None
    sources = [block for block in BLOCKS if "class TinyChip:" in block or "load_accelerator(path)" in block]
    assert len(sources) == 2
    package = tmp_path / "tiny_chip"
    package.mkdir()
    (package / "chip.yaml").write_text(chip[1], encoding="utf-8")
    (package / "__init__.py").write_text("\n".join(sources), encoding="utf-8")
    site = install(tmp_path, "tiny-chip", {"tinychip": "tiny_chip"}, {})
    code = "from eenn_rl.plugins import default_accelerator; print(default_accelerator('tinychip').name)"
    done = python_with(site, "-c", code)
    assert (done.stdout, done.stderr) == ("two_cores\n", "")


def test_the_script_of_the_docs_checks_every_promise(tmp_path: Path) -> None:
    """As it stands there: its worker process imports it anew, without checking again."""
    (script,) = [block for block in BLOCKS if "check_tiny_chip.py" in block]
    (source,) = [block for block in BLOCKS if "class TinyChip:" in block]
    site = install(tmp_path / "site", "tiny-chip", {"tinychip": "tiny_chip"}, {"tiny_chip": source})
    (tmp_path / "check_tiny_chip.py").write_text(script, encoding="utf-8")
    done = python_with(site, tmp_path / "check_tiny_chip.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_layer_model_of_the_docs_makes_a_whole_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer model and the public schedule, nothing else, keep every promise, batches included."""
    (source,) = [block for block in BLOCKS if "class MyLayers:" in block]
    monkeypatch.syspath_prepend(install(tmp_path, "my-layers", {"mylayers": "my_layers"}, {"my_layers": source}))
    check_all(subject_for("mylayers", count=3))


def test_the_promises_of_the_docs_are_those_of_the_kit() -> None:
    """One row each."""
    table = TEXT.split("### What it promises")[1].split("Your own tests")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) == len(PROMISES)


def test_the_numbers_of_the_docs_are_those_of_the_code() -> None:
    """The limit of an evaluation, the share of failures that ends a run, and the api_version."""
    assert f"more than the limit ({guard.EVALUATION_LIMIT_S:.0f} s" in TEXT
    assert (evaluator.FAILURE_SHARE, evaluator.FAILURES_BEFORE) == (0.5, 20)
    assert "more than half of the architectures fail, and at least 20 did" in TEXT
    assert f"each of its workloads, at most {guard.BATCH_LIMITS} times" in TEXT
    assert f"What version {hookspecs.API_VERSION} promises" in TEXT
    assert OLDEST_API_VERSION == 1


def test_the_ranges_and_bounds_of_the_docs_are_those_of_the_code() -> None:
    """Between what the kit expects costs, which method costs a layer alone, and what of a package is read whole."""
    words, usual = " ".join(TEXT.split()), Plausible()
    for (low, high), unit in ((usual.energy_per_mac_j, "J a MAC"), (usual.latency_per_mac_s, "s a MAC")):
        assert f"{low:g} to {high:.0e} {unit}".replace("e-0", "e-") in words
    assert f"{usual.power_w[0]:g} to {usual.power_w[1]:.0f} W".replace("e-0", "e-") in words
    assert f"cost_layer({', '.join(list(inspect.signature(LayerCosting.cost_layer).parameters)[1:])})" in words
    assert f"larger than {sources.WHOLE_BYTES // 2**20} MiB" in words


def test_the_claims_about_diana_are_rows_of_its_benchmark() -> None:
    """The modelled end-to-end efficiency is quoted as the benchmark wrote it, within the factor that is stated."""
    rows = json.loads((MPIC.parent.parent / "benchmarks" / "results" / "diana.json").read_text())["rows"]
    (row,) = [r for r in rows if r["what"] == "resnet20, first layer digital" and r["unit"] == "TOPS/W"]
    assert f"(`benchmarks/diana.py`: {row['modelled']:.1f})" in TEXT
    assert "within a factor of 1.5 of the published 7.02" in " ".join(TEXT.split())
    assert 1 / 1.5 < row["ratio"] < 1.5


def test_the_claims_about_zigzag_are_its_benchmarks() -> None:
    """Questions, speed from the cache, and how far multicore is off, as measured."""
    data = json.loads((MPIC.parent.parent / "benchmarks" / "results" / "zigzag_backend.json").read_text())
    energy, latency = data["multicore_energy"], data["multicore_latency"]
    words = " ".join(TEXT.split())
    assert f"{data['architectures']} architectures take {data['asked_of_zigzag']} questions" in words
    assert f"{data['warm_architectures_per_s'] / 1000:.0f} thousand architectures per second" in words
    assert data["warm_architectures_per_s"] > 1000
    for found, name in ((energy, "energy"), (latency, "latency")):
        assert f"{found['mean_absolute_error']:.2%} in {name}" in words
    assert f"rank correlation of {energy['spearman']:.4f} and {latency['spearman']:.4f}" in words


def test_what_the_search_on_diana_found_is_quoted_as_measured() -> None:
    """Both cores in the best feasible one, and the reductions and accuracies of the page."""
    search = json.loads((MPIC.parent.parent / "benchmarks" / "results" / "diana.json").read_text())["search"]
    best = max((v for v in search["verified"] if v["feasible"]), key=lambda v: v["elp_reduction"])
    assert {core for exit_ in best["exits"] for core in exit_.split(" on ")[1].split("/")} == {"digital", "analog"}
    assert search["static"] == search["static_best_bits"]  # as the page says
    words = " ".join(TEXT.split())
    assert f"holds every bound saves {best['elp_reduction']:.1%}" in words
    assert f"at {-100 * best['accuracy_difference']:.2f} points less accuracy" in words
    missing = [v for v in search["verified"] if not v["feasible"]]
    assert f"save {missing[0]['elp_reduction']:.1%} and {missing[1]['elp_reduction']:.1%}" in words
    over = [-100 * v["accuracy_difference"] - 1 for v in missing]
    assert f"by {over[0]:.2f} and {over[1]:.2f}" in words
    assert f"the space has {search['space_size']:,} architectures" in words


def test_a_plugin_made_from_the_docs_for_a_real_processor_passes_its_own_tests(tmp_path: Path) -> None:
    """examples/mpic_backend: a published lookup table, the packaging as the template writes it."""
    assert (MPIC / "pyproject.toml").read_text("utf-8") == package_files("mpic")["pyproject.toml"]
    site = install(tmp_path, "eenn-mpic", {"mpic": "eenn_mpic"}, {"eenn_mpic": (MPIC / "eenn_mpic.py").read_text()})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path]), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", MPIC]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "13 passed" in done.stdout
