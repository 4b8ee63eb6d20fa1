"""Reports of searches out of the ordinary: choices in another order, a baseline of other bits, a failing backend."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eenn_rl.cli import main
from eenn_rl.report import write_report
from eenn_rl.report.cards import cards
from eenn_rl.report.front import MEASURES, MOST_POINTS, choose
from eenn_rl.report.gathered import gather
from eenn_rl.report.logged import read_logged
from eenn_rl.report.sections import run_sections
from eenn_rl.show import show
from eenn_rl.space import BITS, BRANCH, LOCATION
from eenn_rl.trajectory import open_log
from small_run import small_run
from test_failing_backend import FLAKY, train
from test_report import random_cloud


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


def test_the_baseline_is_called_by_its_own_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A search without 8 bits is measured against the most that it allows, and says so: page, cards and `show`."""
    run = searched(tmp_path / "run", "--bits", "2,4")
    page = write_report([run]).read_text(encoding="utf-8")
    assert page.count("the static 4-bit network") == 2
    assert "8-bit" not in page
    found = replace(gather(small_run()), baselines=gather(run).baselines)
    assert "saved against the static 4-bit network" in cards(found, "r0")
    shutil.copytree(small_run(), tmp_path / "verified")
    results = json.loads((tmp_path / "verified" / "verification.json").read_text())
    results["static"]["bits"] = 4
    (tmp_path / "verified" / "verification.json").write_text(json.dumps(results))
    show(tmp_path / "verified")
    said = " ".join(capsys.readouterr().out.split())
    assert "against the static 4-bit network (95% interval" in said
    assert "8-bit" not in said


def test_a_backend_that_fails_is_reported(tmp_path: Path) -> None:
    """Networks without a cost are left out of every figure, alone and side by side, and counted in the text."""
    assert train(tmp_path, f"RAISES = (0,)\n{FLAKY}").returncode == 0
    run = tmp_path / "run"
    with open_log(run / "trajectories.h5") as log:
        rows = log.distinct()
        costs = log.columns("elp")["elp"][rows]
    failed = int((~np.isfinite(costs)).sum())
    assert failed > 5
    pages = [write_report(runs, tmp_path / "x.html").read_text(encoding="utf-8") for runs in ([run], [run, run])]
    drawn = f"{len(rows) - failed} of {len(rows)} distinct architectures of the log are drawn."
    assert f"{drawn} {failed} of {len(rows)} have no finite cost" in pages[0]
    figures = [path.read_text(encoding="utf-8") for path in write_report([run], tmp_path / "svg", "svg").iterdir()]
    for text in (*pages, *figures):
        assert not re.search(r'="[^"]*\b(nan|inf)\b', text)
    pytest.importorskip("matplotlib", reason="the optional package matplotlib is not installed")
    assert (write_report([run], tmp_path / "png", "png") / "front-elp.png").stat().st_size > 10_000


def test_a_cloud_without_costs_is_thinned_like_any_other() -> None:
    """Whatever else has no cost, what is drawn, the fronts and the counts are those of the rest."""
    cloud = random_cloud(4 * MOST_POINTS)
    keep = np.arange(len(cloud)) % 3 > 0
    costs = {name: np.where(keep, getattr(cloud, name), np.inf) for name in ("energy_j", "latency_s", "elp")}
    rest, some = choose(cloud.take(np.flatnonzero(keep))), choose(replace(cloud, **costs))
    assert some.cloud.elp.tolist() == rest.cloud.elp.tolist()
    assert some.stands_for.tolist() == rest.stands_for.tolist()
    for measure in MEASURES:
        assert some.fronts[measure.field].tolist() == rest.fronts[measure.field].tolist()
    assert (some.costless, rest.costless) == ((~keep).sum(), 0)


def test_where_nothing_has_a_cost_the_page_says_so(tmp_path: Path) -> None:
    """A feasible network that costs nothing has no place on a logarithmic axis either."""
    found = gather(searched(tmp_path / "run"))
    nothing = np.zeros(len(found.logged.cloud))
    cloud = replace(found.logged.cloud, energy_j=nothing, latency_s=nothing, elp=nothing)
    page = run_sections(replace(found, logged=replace(found.logged, cloud=cloud)), "r0")
    assert "Nothing to draw: 40 of 40 have no finite cost above 0" in page
