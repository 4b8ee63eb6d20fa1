"""The example plugin and what `backends new` writes: built, installed and tested in a fresh environment."""

import importlib
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from eenn_rl.backend_template import package_files, write_package
from eenn_rl.errors import EennError, InvalidValueError
from eenn_rl.testing import check_all, subject_for
from plugin_site import install

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "third_party_backend"


def test_the_example_is_what_the_template_writes() -> None:
    """One source for both: the example never drifts from what users get."""
    written = package_files("roofline")
    tools_own = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    paths = [path for path in EXAMPLE.rglob("*") if path.is_file() and not tools_own & set(path.parts)]
    assert {path.relative_to(EXAMPLE).as_posix(): path.read_text("utf-8") for path in paths} == written


@pytest.mark.parametrize("name", ["", "Chip", "2chip", "my chip", "../chip", "chip_", "a--b", "class"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    """It becomes a module, a distribution and an option's value: lower-case words only."""
    with pytest.raises(InvalidValueError, match="backend name must be lower-case letters and digits"):
        package_files(name)


@pytest.mark.parametrize(
    ("name", "found"),
    [("multicore", r"backend 'multicore' \(eenn-rl .*\)"), ("rl", "an installed module eenn_rl")],
)
def test_a_name_that_is_taken_is_refused(name: str, found: str, tmp_path: Path) -> None:
    """By an installed backend, or by one of our own modules; nothing is written."""
    with pytest.raises(EennError, match=f"backend name '{name}': expected one that is free, found {found}: choose an"):
        write_package(name, tmp_path / "package")
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("name", ["none", "true", "workload", "layer", "cost-report", "exit-cost", "stage", "hookimpl"])
def test_a_package_works_whatever_its_name_means_elsewhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that are Python's, or those of what the module imports: it loads, and keeps its promises."""
    folder, module = tmp_path / "package", "eenn_" + name.replace("-", "_")
    write_package(name, folder)
    site = install(tmp_path / "site", f"eenn-{name}", {name: module}, {module: (folder / f"{module}.py").read_text()})
    monkeypatch.syspath_prepend(site)
    check_all(subject_for(name, count=1))
    monkeypatch.syspath_prepend(folder / "tests")
    importlib.import_module(f"test_{module}").test_a_linear_layer_is_bound_by_memory()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A folder that exists is refused, whatever is in it."""
    write_package("chip", tmp_path / "chip")
    (tmp_path / "chip" / "eenn_chip.py").write_text("my work")
    with pytest.raises(EennError, match="expected no such file or folder"):
        write_package("chip", tmp_path / "chip")
    assert (tmp_path / "chip" / "eenn_chip.py").read_text() == "my work"


def test_the_default_folder_is_named_after_the_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`backends new my_chip` leaves ./eenn-my-chip with the module eenn_my_chip."""
    monkeypatch.chdir(tmp_path)
    assert write_package("my_chip") == Path("eenn-my-chip")
    assert (tmp_path / "eenn-my-chip" / "eenn_my_chip.py").is_file()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of a fresh environment that sees this one's packages, with both plugins installed by pip."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder / "venv", with_pip=False)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    seen = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    (site / "seen.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in seen))
    written = write_package("my-chip", folder / "eenn-my-chip")
    python = folder / "venv" / "bin" / "python"
    for package in (EXAMPLE, written):
        pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        subprocess.run([*pip, package], check=True, env=environment(), cwd=folder)
    return python


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("package", ["roofline", "my-chip"])
def test_the_installed_package_passes_its_own_tests(fresh: Path, package: str) -> None:
    """The conformance kit and the hand-worked numbers, run as the plugin's author would."""
    folder = EXAMPLE if package == "roofline" else fresh.parents[2] / "eenn-my-chip"
    command = [fresh, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), cwd=fresh.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "11 passed" in done.stdout


def test_installed_plugins_are_listed_from_the_environment_they_are_in(fresh: Path) -> None:
    """Found by entry point in site-packages, with distribution and version, beside each other."""
    code = (
        "from eenn_rl.plugins import list_backends, default_accelerator, make_backend\n"
        "from eenn_rl.zoo import make_backbone\n"
        "import sys\n"
        "found = {r.name: r for r in list_backends()}\n"
        "for name, dist in (('roofline', 'eenn-roofline'), ('my-chip', 'eenn-my-chip')):\n"
        "    record = found[name]\n"
        "    assert (record.distribution, record.version, record.problem) == (dist, '0.1.0', None), record\n"
        "    backend = make_backend(name, default_accelerator(name), make_backbone('resnet8'))\n"
        "    assert 'site-packages' in sys.modules[type(backend).__module__].__file__\n"
    )
    done = subprocess.run([fresh, "-c", code], capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
