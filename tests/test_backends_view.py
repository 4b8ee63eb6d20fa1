"""`eenn-rl backends`: what it says of each backend, for a person and for a program."""

import json
from pathlib import Path

import pytest

from eenn_rl.backends_view import backends_data, backends_text
from eenn_rl.plugins import BackendRecord, list_backends
from plugin_site import good_plugin, install

RECORDS = (
    BackendRecord("good", "good-chip", "1.2", "good_chip", None, 1, "quad_edge_tpu"),
    BackendRecord("bad", "bad-chip", "0.1", "bad_chip", "cannot be imported: SystemExit: 3"),
    BackendRecord("choosy", "choosy-chip", "3.0", "choosy:plugin", None, None, "quad_edge_tpu", "needs an analog core"),
    BackendRecord("half", "half-chip", "1.0", "half", "expected the package x, found none", incomplete=True),
)


def test_each_backend_has_a_line_and_a_broken_one_its_reason() -> None:
    """Name, state, distribution, version, origin; the reason stands under the line it belongs to."""
    lines = backends_text(RECORDS).splitlines()
    assert lines[1].split() == ["good", "ok", "good-chip", "1.2", "good_chip", "quad_edge_tpu"]
    assert lines[2].split() == ["bad", "broken", "bad-chip", "0.1", "bad_chip", "-"]
    assert lines[3] == "    cannot be imported: SystemExit: 3"
    assert lines[4].split()[:2] == ["choosy", "declines"]
    assert lines[5] == "    needs an analog core"
    assert lines[6].split()[:2] == ["half", "incomplete"]
    assert lines[-1] == "2 of 4 usable; api_version served: 1"


def test_columns_line_up() -> None:
    """Every origin starts where the header's does."""
    lines = backends_text(RECORDS).splitlines()
    at = lines[0].index("ORIGIN")
    assert [lines[i][at:].split()[0] for i in (1, 2, 4)] == ["good_chip", "bad_chip", "choosy:plugin"]


def test_the_same_for_a_program() -> None:
    """Plain JSON data, one object per backend."""
    data = json.loads(json.dumps(backends_data(RECORDS)))
    assert [(d["name"], d["usable"]) for d in data] == [
        ("good", True),
        ("bad", False),
        ("choosy", True),
        ("half", False),
    ]
    assert data[1]["problem"] == "cannot be imported: SystemExit: 3"


def test_what_is_installed_is_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without records given, the installed ones are tried."""
    site = install(tmp_path / "site", "view-chip", {"viewchip": "view_chip"}, {"view_chip": good_plugin()})
    monkeypatch.syspath_prepend(site)
    assert "viewchip" in {d["name"] for d in backends_data()}
    assert backends_text(list_backends()) == backends_text()
