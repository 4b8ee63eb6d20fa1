"""The report, from plain arrays and from a real run: complete where it promises to be, safe, small, not invented."""

import json
import re
import shutil
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest

from eenn_rl.architecture_file import architecture_from_json
from eenn_rl.cost import CostReport, ExitCost, LayerCost, Span, StageCost
from eenn_rl.errors import InputFileError, InvalidValueError
from eenn_rl.hardware import load_accelerator
from eenn_rl.images import ImageForm, ImageRecord
from eenn_rl.objective import VIOLATIONS
from eenn_rl.report import Format, write_report
from eenn_rl.report.drawing import INK, STYLES, Dot, Drawing, Line, Rect, Text
from eenn_rl.report.energy import energy_by_memory, energy_figure, memories_of, rates_figure
from eenn_rl.report.front import MEASURES, MOST_POINTS, choose
from eenn_rl.report.gathered import gather
from eenn_rl.report.html import tag
from eenn_rl.report.logged import WINDOWS, Cloud, read_logged, staircase, thinned
from eenn_rl.report.network import short_name
from eenn_rl.report.png import image_bytes
from eenn_rl.report.provenance import provenance
from eenn_rl.report.scales import Scale, padded
from eenn_rl.report.sections import script_json
from eenn_rl.report.svg import render
from eenn_rl.report.timeline import resources, timeline_figure
from eenn_rl.show import show
from eenn_rl.stored_run import StoredRun, open_stored_run
from eenn_rl.trajectory import open_log
from eenn_rl.trajectory.front import pareto_front
from eenn_rl.workload import Workload, workload_of
from small_run import scratch, small_run

EVIL = "</script><img src=x onerror=alert(1)>\"'&\x00\x1b"


def random_cloud(n: int, seed: int = 0) -> Cloud:
    rng = np.random.default_rng(seed)
    accuracy = np.round(0.5 + 0.45 * rng.beta(3, 1.5, n), 4)
    energy, latency = rng.lognormal(-12, 0.6, (2, n))
    genomes = rng.integers(0, 200, (n, 4, 5)).astype(np.int16)
    return Cloud(genomes, rng.random(n) < 0.6, accuracy, energy, latency, energy * latency)


def report() -> Path:
    path = scratch() / "report-plain.html"
    if not path.exists():
        write_report([small_run()], path)
    return path


class Outline(HTMLParser):
    """Elements, ids, addresses, and whether tags are balanced."""

    VOID = ("meta", "input", "img", "br", "hr", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "srcset", "data", "action"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open
            assert self.open.pop() == tag


def test_the_page_is_well_formed_and_fetches_nothing() -> None:
    """Tags are balanced, ids unique, every address is within the page or data, no handler stands in an attribute."""
    outline = Outline()
    outline.feed(report().read_text(encoding="utf-8"))
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in outline.addresses)
    inside = {address[1:] for address in outline.addresses if address.startswith("#")}
    assert inside <= set(outline.ids)
    assert outline.handlers == []


def test_the_page_forbids_itself_the_network() -> None:
    """A content security policy allows its one script by checksum, and nothing from elsewhere."""
    text = report().read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "script-src 'sha256-" in policy[1]


def test_the_page_tells_what_the_run_found() -> None:
    """The numbers that `show` prints, the configuration, the accelerator's source and how to replay are in it."""
    from eenn_rl.stored_run import open_stored_run

    run, text = open_stored_run(small_run()), unescape(report().read_text(encoding="utf-8"))
    assert run.results is not None
    for verified in run.results.verified:
        assert f"{100 * verified.measured.accuracy:.2f}%" in text
        assert f"{100 * verified.elp_reduction:.1f}%".replace("-", "\u2212") in text
    assert f"eenn-rl replay {small_run()}/trajectories.h5" in text
    assert run.accelerator.source in text
    assert "search.budget" in text


def test_the_page_is_small() -> None:
    """A small run's report takes less than a megabyte."""
    assert report().stat().st_size < 1_000_000


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    """Reporting twice writes the same bytes."""
    assert write_report([small_run()], tmp_path / "again.html").read_bytes() == report().read_bytes()


def test_a_search_without_verified_networks_is_reported(tmp_path: Path) -> None:
    """What is not there yet is said, with the command that brings it; nothing is invented."""
    run = tmp_path / "run"
    shutil.copytree(small_run(), run, ignore=shutil.ignore_patterns("weights", "verification.json"))
    text = write_report([run]).read_text(encoding="utf-8")
    assert "No network has been verified yet" in text
    assert "eenn-rl verify" in text
    assert 'class="card"' not in text


def test_a_run_without_weights_says_what_is_missing(tmp_path: Path) -> None:
    """Without the measured outcomes there are no examples, and the card says so."""
    run = tmp_path / "run"
    shutil.copytree(small_run(), run, ignore=shutil.ignore_patterns("weights"))
    text = write_report([run]).read_text(encoding="utf-8")
    assert "No example inputs" in text
    assert "<img" not in text


def test_outcomes_cut_short_are_missing(tmp_path: Path) -> None:
    """A damaged file of measured outcomes costs the examples, and the card says so."""
    run = Path(shutil.copytree(small_run(), tmp_path / "run"))
    for path in (run / "weights").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-100])
    assert "No example inputs: the measured outcomes" in write_report([run]).read_text(encoding="utf-8")


def test_a_run_before_its_search_is_refused(tmp_path: Path) -> None:
    """A run folder without a log names the command that continues it."""
    run = tmp_path / "run"
    shutil.copytree(small_run(), run, ignore=shutil.ignore_patterns("trajectories.h5", "verification.json"))
    with pytest.raises(InputFileError, match="--resume"):
        write_report([run])


def test_only_reports_are_replaced(tmp_path: Path) -> None:
    """A report replaces a report; a file of the user's is refused and left as it was."""
    mine = tmp_path / "mine.html"
    mine.write_text("<!DOCTYPE html>\nmy own")
    with pytest.raises(InvalidValueError, match="is no report"):
        write_report([small_run()], mine)
    assert mine.read_text().endswith("my own")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "thesis.tex").write_text("mine")
    with pytest.raises(InvalidValueError, match="no folder of figures"):
        write_report([small_run()], tmp_path / "figures", "svg")


@pytest.mark.parametrize(
    ("name", "format_", "expected"),
    [
        ("page.png", "html", "ends in .html, found .png: change it, or choose --format png"),
        ("page.pdf", "html", "ends in .html, found .pdf: change it$"),
        ("page.svg", "svg", "expected a folder for --format svg, found the name of a file"),
        ("page.html", "png", "expected a folder for --format png"),
    ],
)
def test_a_name_promises_what_is_written(name: str, format_: Format, expected: str, tmp_path: Path) -> None:
    """`--output page.png` gets no HTML, and no figures are put into a folder called like a file."""
    with pytest.raises(InvalidValueError, match=expected):
        write_report([small_run()], tmp_path / name, format_)
    assert not list(tmp_path.iterdir())


def test_figures_come_as_files(tmp_path: Path) -> None:
    """`--format svg` writes every figure as an image file of its own, with no reference to anything outside."""
    folder = write_report([small_run()], tmp_path / "figures", "svg")
    names = {path.stem for path in folder.iterdir()}
    assert {"front-elp", "front-energy_j", "search-curve", "network-1", "timeline-1", "energy-2", "rates-2"} <= names
    for path in folder.iterdir():
        root = ET.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 - written just now
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "http" not in path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")


def test_figures_come_as_pictures(tmp_path: Path) -> None:
    """`--format png` draws the same marks: the front's picture is of its size and not blank."""
    pytest.importorskip("matplotlib", reason="the optional package matplotlib is not installed")
    from matplotlib.image import imread

    from eenn_rl.report.png import save

    drawing = Drawing(120, 60, "x")
    drawing.add(
        Rect("c0", 10, 10, 40, 20), Dot("measured", 80, 20, 8, shape="diamond"), Text("label", 10, 50, "a$b_c$")
    )
    drawing.line("arrow", [(60, 40), (110, 50)], arrow=True)
    save(drawing, tmp_path / "x.png")
    picture = imread(tmp_path / "x.png")
    assert picture.shape[:2] == (120, 240)
    inside = tuple(round(255 * float(value)) for value in picture[40, 60, :3])
    assert inside == (0x00, 0x72, 0xB2)
    assert tuple(picture[0, 0, :3]) == (1, 1, 1)


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_the_front(seed: int) -> None:
    """The staircase holds exactly the points that none beats in both: compared with the log's own three-way front."""
    cloud = random_cloud(800, seed)
    found = staircase(cloud.accuracy, cloud.elp)
    wanted = pareto_front(np.stack([-cloud.accuracy, cloud.elp, np.zeros(len(cloud))], axis=1))
    assert sorted(found.tolist()) == sorted(wanted.tolist())
    assert (np.diff(cloud.accuracy[found]) < 0).all()
    assert (np.diff(cloud.elp[found]) < 0).all()


def test_thinning_keeps_the_fronts_and_counts_everything() -> None:
    """Of 60,000 points at most three times the bound are drawn, every front is whole, and each cell has a mark."""
    cloud = random_cloud(60_000)
    chosen = choose(cloud)
    assert len(chosen.cloud) <= MOST_POINTS + sum(len(rows) for rows in chosen.fronts.values())
    feasible = cloud.feasible
    for measure in MEASURES:
        cost = getattr(cloud, measure.field)
        wanted = staircase(cloud.accuracy[feasible], cost[feasible])
        drawn = getattr(chosen.cloud, measure.field)[chosen.fronts[measure.field]]
        assert drawn.tolist() == cost[feasible][wanted].tolist()
    rows, counts = thinned(cloud, np.zeros(0, np.intp), 500, ("elp",))
    assert len(rows) <= 500
    assert counts.sum() == len(cloud)


def test_few_points_are_all_drawn() -> None:
    """Below the bound nothing is left out, and each mark stands for itself."""
    cloud = random_cloud(300)
    chosen = choose(cloud)
    assert len(chosen.cloud) == 300
    assert (chosen.stands_for == 1).all()


def test_a_million_architectures_are_thinned_quickly() -> None:
    """Choosing what to draw of a million distinct architectures takes a few seconds of one core."""
    cloud = random_cloud(1_000_000)
    begun = time.process_time()
    chosen = choose(cloud)
    assert time.process_time() - begun < 12
    assert len(chosen.cloud) < 4 * MOST_POINTS


def span(resource: str, start: float, end: float) -> Span:
    return Span(resource, "stage 0", start, end)


def test_timelines_split_groups_and_keep_ports() -> None:
    """A span on a group of cores fills the row of each core; a port that is no core has a row of its own."""
    spec = load_accelerator("quad_edge_tpu")
    spans = (span("core0+core1", 0, 2e-6), span("dram", 1e-6, 3e-6), Span("core1", EVIL, 2e-6, 4e-6))
    assert resources([spans], spec) == ["core0", "core1", "dram"]
    drawing = timeline_figure([ExitCost(1e-6, 4e-6)], [spans], spec)
    assert drawing is not None
    bars = [mark for mark in drawing.marks if isinstance(mark, Rect)]
    assert len(bars) == 4
    assert bars[0].width == pytest.approx(bars[1].width)
    assert timeline_figure([ExitCost(1, 1)], [()], spec) is None


def layer(energy: float, **memories: float) -> LayerCost:
    return LayerCost("x", "core0", None, 1.0, energy, 1, 1.0, memories)


def test_energies_add_up() -> None:
    """Bars hold all of a stage's energy: what the breakdown lacks is shown as `other`."""
    found = energy_by_memory([layer(3.0, dram=2.0), layer(1.0, dram=0.5, mac=0.5)])
    assert found == {"dram": 2.5, "mac": 0.5, "other": 1.0}
    stage = StageCost((layer(2e-6, dram=2e-6),), (layer(1e-6, mac=1e-6),), 2e-6, 1.0, 1e-6, 1.0)
    report = CostReport((ExitCost(3e-6, 1),), stages=(stage,))
    drawing = energy_figure(report, memories_of([report]))
    assert drawing is not None
    bars = [mark for mark in drawing.marks if isinstance(mark, Rect) and mark.tip]
    assert bars[0].width == pytest.approx(2 * bars[1].width)
    assert energy_figure(CostReport((ExitCost(1, 1),)), ["dram"]) is None


@pytest.mark.parametrize("odd", [float("inf"), float("nan")])
def test_a_breakdown_that_is_no_number_is_left_out(odd: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend's timelines and energies by memory are its own word: what cannot be drawn costs itself alone."""
    assert energy_by_memory([layer(3.0, dram=odd, mac=1.0), layer(odd, mac=1.0)]) == {"mac": 2.0, "other": 2.0}
    spans = (Span("core0", "stage 0", 0.0, 1e-6), Span("core0", "stage 1", 1e-6, odd))

    def told(_backend: object, workload: Workload) -> CostReport:
        return CostReport((ExitCost(1e-6, 1e-6),) * len(workload.stages), timeline=spans)

    monkeypatch.setattr("eenn_rl.guard.evaluate_safely", told)
    found = gather(small_run())
    assert all(timeline == spans[:1] for card in found.cards for timeline in card.timelines)
    assert timeline_figure([ExitCost(1e-6, 1e-6)], found.cards[0].timelines[:1], found.accelerator) is not None


def test_a_memory_has_one_colour_in_all_networks() -> None:
    """Colours go by the order over all networks; what no colour is left for is put together, and nothing is lost."""
    first, second = (
        CostReport((ExitCost(1, 1),), stages=(StageCost((layer(sum(found.values()), **found),), (), 1, 1, 0, 0),))
        for found in ({"dram": 5.0, "sram": 1.0}, {"sram": 2.0, "dram": 1.0, **{f"rf{n}": 0.1 for n in range(9)}})
    )
    memories = memories_of([first, second])
    assert memories[:2] == ["dram", "sram"]
    for report, total in ((first, 6.0), (second, 3.9)):
        drawing = energy_figure(report, memories)
        assert drawing is not None
        bars = [mark for mark in drawing.marks if isinstance(mark, Rect) and mark.tip]
        assert [bar.kind for bar in bars if ", dram:" in bar.tip] == ["c0"]
        told = sum(float(bar.tip.split(": ")[1].split()[0]) for bar in bars)
        assert told == pytest.approx(total * 1e6)


def with_updates(folder: Path, evaluations: list[int], entropy: list[float]) -> Path:
    """The small run with updates of a policy in its log."""
    run = Path(shutil.copytree(small_run(), folder))
    with h5py.File(run / "trajectories.h5", "r+") as file:
        for name, values in (("evaluations", evaluations), ("entropy", entropy)):
            file["updates"][name].resize(len(values), 0)
            file["updates"][name][...] = values
    return run


def test_what_the_policy_came_to_prefer_is_told(tmp_path: Path) -> None:
    """Shares are those of the architectures between two updates; entropies are the log's; both are drawn."""
    run = with_updates(tmp_path / "run", [32, 64, 96], [1.5, 1.25, 0.5])
    with open_log(run / "trajectories.h5") as log:
        logged = read_logged(log)
        genomes = log.columns("architecture", start=32, stop=64)["architecture"]
    policy = logged.search.policy
    assert policy is not None
    assert policy.entropy.tolist() == [1.5, 1.25, 0.5]
    names, shares = policy.preferences["bits"]
    used = genomes[:, :, 0] >= 0
    for choice, bits in enumerate(names):
        assert shares[1, choice] == pytest.approx((genomes[:, :, 2][used] == int(bits)).mean())
    text = write_report([run]).read_text(encoding="utf-8")
    assert "after 64 evaluations: 1.25 nats" in text
    assert "What the policy has come to prefer" in text
    assert "policy up to here" in text
    folder = write_report([run], tmp_path / "figures", "svg")
    assert {"policy-entropy", "policy-bits", "policy-core-of-a-stage"} <= {path.stem for path in folder.iterdir()}


def test_failures_of_the_backend_are_told_and_counted(tmp_path: Path) -> None:
    """Reasons stand in the page as text, with how many episodes each took."""
    run = Path(shutil.copytree(small_run(), tmp_path / "run"))
    with h5py.File(run / "trajectories.h5", "r+") as file:
        place = VIOLATIONS.index("backend")
        for row, reason in ((3, b"<b>no licence</b>"), (5, b"<b>no licence</b>"), (9, b"")):
            violations = file["episodes"]["violations"][row]
            violations[place] = 1.0
            file["episodes"]["violations"][row] = violations
            file["episodes"]["failure"][row] = reason
    text = write_report([run]).read_text(encoding="utf-8")
    assert "Failures of the backend" in text
    assert "&lt;b&gt;no licence&lt;/b&gt;</th><td>2</td>" in text
    assert "no reason given</th><td>1</td>" in text
    assert "Failures of the backend" not in report().read_text(encoding="utf-8")


def test_a_static_network_that_misses_the_bound_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The best static network is chosen on validation: on test it may miss, in the table and on the page."""
    run = Path(shutil.copytree(small_run(), tmp_path / "run"))
    results = json.loads((run / "verification.json").read_text())
    best = results["static_best_bits"]
    for bits, floor, told, missed in ((8, 0.0, "", 0), (2, 0.0, "", 0), (2, 0.001, "holds", 0), (2, 1.0, "missed", 1)):
        best.update(bits=bits, accuracy_floor=floor)
        (run / "verification.json").write_text(json.dumps(results))
        show(run)
        (row,) = (line for line in capsys.readouterr().out.splitlines() if "static, best" in line)
        assert row.strip("│").split("│")[-1].strip() == told
        assert write_report([run]).read_text(encoding="utf-8").count("misses the bound on accuracy") == missed


def test_a_static_network_that_breaks_another_bound_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In its row, the baseline's as the best one's, on the page, and in full where no static network is allowed."""
    run = Path(shutil.copytree(small_run(), tmp_path / "run"))
    results = json.loads((run / "verification.json").read_text())
    for name in ("static", "static_best_bits"):
        results[name]["violations"] = [{"subject": "worst-case latency", "demand": 2e-6, "bound": 1e-6, "unit": "s"}]
    (run / "verification.json").write_text(json.dumps(results))
    show(run)
    said = capsys.readouterr().out
    rows = [line.strip("│").split("│")[-1].strip() for line in said.splitlines() if "│static" in line]
    assert rows == ["missed", "missed"]
    line = "no static network of any bit-width holds every constraint; the best of them: worst-case latency: 2e-06 s"
    assert line in " ".join(said.split())
    assert write_report([run]).read_text(encoding="utf-8").count("bits (misses a bound)") == 2


@pytest.mark.parametrize("changed", ["energy_j", "latency_s"])
def test_a_backend_that_answers_otherwise_now_is_told(tmp_path: Path, changed: str) -> None:
    """Timelines are asked of the installed backend: where it differs from the run's, the card warns."""
    run = Path(shutil.copytree(small_run(), tmp_path / "run"))
    results = json.loads((run / "verification.json").read_text())
    results["verified"][0]["measured"][changed] *= 1.01
    (run / "verification.json").write_text(json.dumps(results))
    assert write_report([run]).read_text(encoding="utf-8").count("The installed backend expects") == 1
    assert "The installed backend expects" not in report().read_text(encoding="utf-8")


def test_leaving_costs_what_the_whole_networks_report_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stages start before a branch has answered, leaving costs more than the network cut off there does."""
    run = Path(shutil.copytree(small_run(), tmp_path / "run"))
    machine = replace(open_stored_run(run).accelerator, branch_policy="speculate")
    monkeypatch.setattr(StoredRun, "accelerator", machine)
    results = json.loads((run / "verification.json").read_text())
    verified = results["verified"][0]
    for core, exit_ in enumerate(verified["architecture"]["exits"]):
        exit_["core"], exit_["branch_core"] = 0, min(core + 1, 3)
    stored = open_stored_run(run)
    architecture = architecture_from_json(verified["architecture"], "test")
    exits, stages = stored.cost(architecture).exits, workload_of(architecture).stages
    cut = stored.backend(architecture).evaluate(Workload(stages[:1])).exits[0]
    assert cut.energy_j < 0.99 * exits[0].energy_j
    for name in ("energy_j", "latency_s"):
        rates = verified["measured"]["exit_rates"]
        verified["measured"][name] = sum(r * getattr(e, name) for r, e in zip(rates, exits, strict=True))
    (run / "verification.json").write_text(json.dumps(results))
    text = write_report([run]).read_text(encoding="utf-8")
    assert "The installed backend expects" not in text
    for number, cost in enumerate(exits, start=1):
        assert f"leaves at exit {number}: {cost.latency_s * 1e6:.4g} \u00b5s, {cost.energy_j * 1e6:.4g} \u00b5J" in text


@pytest.mark.parametrize(
    ("samples", "notes", "told"),
    [
        (360, "", "accuracy tables measured on 360 independent validation images of digits; confidence"),
        (0, "guessed from naswot, not measured", "accuracy tables for digits, guessed from naswot, not measured; conf"),
        (0, "", "accuracy tables for digits, not said where from; confidence"),
    ],
)
def test_only_measured_tables_are_called_measured(samples: int, notes: str, told: str) -> None:
    """Tables guessed from a training-free score are told as what they are."""
    tables = {"dataset": "digits", "confidence_rule": "margin", "independent_samples": samples, "notes": notes}
    assert told in provenance(replace(gather(small_run()), tables=tables), "r0")


def test_names_of_classes_are_told() -> None:
    """Of a user's own images, in one line, with how a file became pixels; names are text, and no more than 20."""
    run = gather(small_run())
    assert "Images: " not in provenance(run, "r0")
    for count, told in ((2, "in 2 classes (&lt;0&gt;, &lt;1&gt;), grey"), (30, "&lt;19&gt; and 10 more), grey")):
        names = tuple(f"<{number}>" for number in range(count))
        text = provenance(replace(run, images=ImageRecord("", 1234, names, ImageForm("grey", 24, 20))), "r0")
        assert f"{told}, brought to 24x20 (bilinear, nothing cropped)." in text
        assert "Images: 1,234 files" in text
    assert "Images: " not in provenance(replace(run, images=ImageRecord("", 1234)), "r0")


def test_a_search_without_a_policy_says_so() -> None:
    """Local search trains no policy: no entropy is drawn."""
    text = report().read_text(encoding="utf-8")
    assert "No policy was trained in this search" in text
    assert "r0-entropy" not in text


def test_thousands_of_updates_become_few_windows(tmp_path: Path) -> None:
    """Windows are put together so that a figure stays readable; every entropy is kept."""
    with open_log(with_updates(tmp_path / "run", list(range(1, 200)), [0.5] * 199) / "trajectories.h5") as log:
        policy = read_logged(log).search.policy
    assert policy is not None
    assert len(policy.windows) <= WINDOWS
    assert len(policy.entropy) == 199
    assert policy.windows[-1] == 199


def test_the_line_of_the_accuracy_is_the_searchs_own() -> None:
    """The bound drawn holds the reserve kept on validation: feasible architectures are at or above it, none below."""
    found = gather(small_run())
    cloud = found.logged.cloud
    assert found.floor is not None
    assert (cloud.accuracy[cloud.feasible] >= found.floor).all()
    with open_log(small_run() / "trajectories.h5") as log:
        columns = log.columns("violations", "accuracy")
    assert ((columns["violations"][:, 0] > 0) == (columns["accuracy"] < found.floor)).all()


def test_the_deadline_is_a_line(tmp_path: Path) -> None:
    """Where the worst case has a deadline, the latency figure shows it and the text says it."""
    run = Path(shutil.copytree(small_run(), tmp_path / "run"))
    with open_log(run / "trajectories.h5") as log:
        middle = float(np.median(log.columns("latency_s")["latency_s"]))
    config = json.loads((run / "config.json").read_text())
    config["objective"]["deadline_s"] = middle
    (run / "config.json").write_text(json.dumps(config))
    text = write_report([run]).read_text(encoding="utf-8")
    assert text.count("deadline (worst case)") == 1
    assert "the worst case within" in text


def test_dark_pages_have_light_ink() -> None:
    """Every ink that is near the dark paper is replaced there, on screens alone; single figures stay light."""
    text = report().read_text(encoding="utf-8")
    dark = text[text.index("@media screen and (prefers-color-scheme:dark){svg") :].split("</style>")[0]
    for kind, style in STYLES.items():
        if INK in (style.fill, style.stroke):
            assert f"svg .{kind}{{" in dark
    assert "prefers-color-scheme" not in render(Drawing(1, 1, "x"), "x", standalone=True)


def test_rates_are_as_long_as_they_are() -> None:
    """A bar's length is its rate."""
    bars = [mark for mark in rates_figure((0.25, 0.75), (0.5, 0.5)).marks if isinstance(mark, Rect) and mark.tip]
    assert bars[2].width == pytest.approx(3 * bars[0].width)


def test_every_text_is_escaped() -> None:
    """Names that are markup, and characters that no XML may hold, come out as harmless text everywhere."""
    drawing = Drawing(10, 10, EVIL, EVIL)
    drawing.add(Text("label", 0, 0, EVIL), Rect("c0", 0, 0, 1, 1, EVIL), Line("front", ((0, 0), (1, 1)), tip=EVIL))
    drawing.add(Dot("front", 0, 0, 1, EVIL, focus=True))
    for text in (
        render(drawing, EVIL, standalone=True),
        f"<p>{tag('b', EVIL, title=EVIL)}</p>".replace("\x00\x1b", ""),
    ):
        root = ET.fromstring(text)  # noqa: S314 - written just now
        assert {element.tag.rpartition("}")[2] for element in root.iter()} & {"img", "script"} == set()
    assert "<" not in script_json({"a": EVIL})


def test_every_kind_of_mark_has_a_look() -> None:
    """No figure of a real run uses a style that is not in the table."""
    from eenn_rl.report.figures import figures_of

    for name, drawing in figures_of(gather(small_run())):
        assert {mark.kind for mark in drawing.marks} <= STYLES.keys(), name
        for mark in drawing.marks:
            if isinstance(mark, Rect):
                assert mark.width >= 0, name
                assert -1 <= mark.x <= drawing.width + 1, name


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (88.2, 96.1), (1e-9, 3e-9), (-5.0, 5.0), (0.0, 1e6)])
def test_ticks_are_round_and_inside(bounds: tuple[float, float]) -> None:
    """Linear scales have three to thirteen ticks, evenly spaced, within the range."""
    scale = Scale(*bounds, 0.0, 100.0)
    ticks = scale.ticks()
    assert 3 <= len(ticks) <= 13
    assert all(-0.01 <= scale(value) <= 100.01 for value in ticks)
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])


@pytest.mark.parametrize("bounds", [(0.0063, 0.24), (1.0, 1.2), (1e-12, 1e3)])
def test_logarithmic_scales_are_even_in_ratios(bounds: tuple[float, float]) -> None:
    """Equal ratios take equal room, and there are ticks to read them by."""
    scale = Scale(*bounds, 0.0, 100.0, logarithmic=True)
    middle = (bounds[0] * bounds[1]) ** 0.5
    assert scale(middle) == pytest.approx(50)
    assert len(scale.ticks()) >= 2


def test_a_range_is_never_empty() -> None:
    """One value, or none that differ, still has room around it."""
    for values in ([5.0], [0.0, 0.0], [3.0, 3.0]):
        low, high = padded(values)
        assert low < high


def test_names_of_groups_are_short() -> None:
    """What the cores' names share is said once; names that share nothing stay."""
    assert short_name("core0+core1+core2") == "core0+1+2"
    assert short_name("digital+analog") == "digital+analog"
    assert short_name("core0") == "core0"


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_png(channels: int) -> None:
    """Pixels survive the way through the PNG writer."""
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    import io

    pixels = np.random.default_rng(0).integers(0, 256, (channels, 5, 7), np.uint8)
    found = np.asarray(pillow.open(io.BytesIO(image_bytes(pixels))))
    assert (found.reshape(5, 7, channels) == pixels.transpose(1, 2, 0)).all()
