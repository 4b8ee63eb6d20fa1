"""Whether what a run kept of a slow backend is still what the backend says: a hash of all that it ships with."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from eenn_rl import sources
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.plugins import BackendRecord
from eenn_rl.sources import sources_of
from plugin_site import install


def package(folder: Path) -> Path:
    """A package with code, data and what running it left; the distribution lists a table that lies elsewhere."""
    site = install(folder, "chip-of-tables", {"chip": "tabled_chip.plugin"}, {})
    chip = site / "tabled_chip"
    for name in ("__pycache__", "data", ".cache"):
        (chip / name).mkdir(parents=True)
    for name in ("__init__.py", "plugin.py", "data/table.csv", "__pycache__/plugin.pyc", ".cache/answers"):
        (chip / name).write_text("1")
    (site / "chip_tables").mkdir()
    (site / "chip_tables" / "late.csv").write_text("1")
    (info,) = site.glob("*.dist-info")
    (info / "RECORD").write_text(
        f"tabled_chip/plugin.py,,\nchip_tables/late.csv,,\ngone.csv,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n"
    )
    return site


def backend_in(site: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[HardwareBackend, BackendRecord]:
    """A backend whose class and entry point are in the package in `site`."""
    module = ModuleType("tabled_chip")
    module.__path__ = [str(site / "tabled_chip")]
    monkeypatch.setitem(sys.modules, "tabled_chip", module)
    monkeypatch.syspath_prepend(site)
    made = type("Chip", (SimpleNamespace,), {"__module__": "tabled_chip.plugin"})()
    return made, BackendRecord("chip", "chip-of-tables", "1.0", "tabled_chip.plugin")


CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "code": (lambda site: (site / "tabled_chip" / "plugin.py").write_text("2"), True),
    "data": (lambda site: (site / "tabled_chip" / "data" / "table.csv").write_text("2"), True),
    "a new table": (lambda site: (site / "tabled_chip" / "data" / "new.csv").write_text("1"), True),
    "a renamed table": (lambda site: (site / "tabled_chip/data/table.csv").rename(site / "tabled_chip/data/x"), True),
    "a listed table elsewhere": (lambda site: (site / "chip_tables" / "late.csv").write_text("2"), True),
    "compiled code": (lambda site: (site / "tabled_chip" / "__pycache__" / "plugin.pyc").write_text("2"), False),
    "a hidden file": (lambda site: (site / "tabled_chip" / ".cache" / "answers").write_text("2"), False),
    "the installer's notes": (lambda site: next(site.glob("*.dist-info/METADATA")).write_text("Name: x"), False),
    "times alone": (lambda site: os.utime(site / "tabled_chip" / "plugin.py", (1, 1)), False),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_backend_ships_with_decides(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code and data, by name and content; not what running or installing it left."""
    site = package(tmp_path)
    backend, record = backend_in(site, monkeypatch)
    change, matters = CHANGES[what]
    before = sources_of(backend, record)
    change(site)
    assert (sources_of(backend, record) != before) == matters


def test_of_a_huge_file_size_and_time_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read at the start of each run."""
    site = package(tmp_path)
    backend, record = backend_in(site, monkeypatch)
    monkeypatch.setattr(sources, "WHOLE_BYTES", 100)
    table = site / "tabled_chip" / "data" / "table.csv"
    table.write_bytes(bytes(101))
    before = sources_of(backend, record)
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"" if path != table else 1 / 0)
    os.utime(table, (1, 1))
    assert sources_of(backend, record) != before


def test_a_copy_elsewhere_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another environment with the same files asks nothing again."""
    found = []
    for name in ("one", "other"):
        with monkeypatch.context() as patch:
            found.append(sources_of(*backend_in(package(tmp_path / name), patch)))
    assert found[0] == found[1]
