"""Reports of searches out of the ordinary: choices in an order of their own."""

import json
from pathlib import Path

import pytest

from eenn_rl.cli import main
from eenn_rl.report import write_report
from eenn_rl.report.logged import read_logged
from eenn_rl.space import BITS, BRANCH, LOCATION
from eenn_rl.trajectory import open_log


def searched(run: Path, *options: str) -> Path:
    """A run of a random search on the shipped tables."""
    words = ("--tables", "shipped", "--agent", "random", "--budget", "40", "--run", str(run))
    assert main(["train", *words, *options]) == 0
    return run


def test_choices_are_told_by_their_own_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of bits and branches are those logged, in whatever order the choices were given; so are the names."""
    run = searched(tmp_path / "run", "--bits", "8,4,2", "--branches", "mlp,linear")
    monkeypatch.setattr("eenn_rl.report.logged.WINDOWS", 1)
    with open_log(run / "trajectories.h5") as log:
        told = read_logged(log).search.preferences
        genomes = log.columns("architecture")["architecture"][log.distinct()]
    exits = genomes[genomes[:, :, LOCATION] >= 0]
    early = exits[exits[:, BRANCH] >= 0]
    for what, chosen, codes in (
        ("bits", exits[:, BITS], {"2": 2, "4": 4, "8": 8}),
        ("branch", early[:, BRANCH], {"mlp": 0, "linear": 1}),
    ):
        names, (shares,) = told[what]
        counted = {name: (chosen == code).mean() for name, code in codes.items()}
        assert dict(zip(names, shares.tolist(), strict=True)) == counted
    page = write_report([run]).read_text(encoding="utf-8")
    data = page.split('id="r0-data">')[1].split("</script>")[0]
    assert json.loads(data)["branches"] == ["mlp", "linear"]
