"""A run as its log alone tells it: what one engineer mails to another."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from eenn_rl.cli import main
from eenn_rl.errors import EennError, InputFileError
from eenn_rl.logged_run import logged_found, logged_results, records_of
from eenn_rl.report import write_report
from eenn_rl.results import Results
from eenn_rl.stored_run import open_run_or_log, open_stored_run
from eenn_rl.trajectory import TrajectoryWriter, open_log
from logged_problem import make_evaluator, write_log
from small_run import small_run

DATA = Path(__file__).parent / "data"


@pytest.fixture
def mailed(tmp_path: Path) -> Path:
    """The log of a finished run, in a folder of its own."""
    return Path(shutil.copy(small_run() / "trajectories.h5", tmp_path / "theirs.h5"))


@pytest.fixture
def results() -> Results:
    found = open_stored_run(small_run()).results
    assert found is not None
    return found


def shown(*arguments: object, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["show", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_a_log_tells_what_its_run_found_and_verified(mailed: Path) -> None:
    """The results and the search's best networks, down to the last bit, and the configuration without folders."""
    run, log = open_stored_run(small_run()), open_run_or_log(mailed)
    assert log.results == run.results
    assert run.found is not None
    assert log.found == replace(run.found, stopped="")
    assert len(run.found.candidates) > 1
    assert log.phase == "finished"
    assert log.accelerator == run.accelerator
    assert log.config.objective == run.config.objective


def test_a_log_is_shown_as_its_run_is(mailed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same tables, remarks, curve and front; and the same JSON but for what is the folder's."""
    of_run, of_log = (shown(path, capsys=capsys).split("\n", 1) for path in (small_run(), mailed))
    assert of_log[0].startswith(f"{mailed}: backend multicore, ")
    assert of_log[1] == of_run[1]
    run, log = (json.loads(shown(path, "--json", capsys=capsys)) for path in (small_run(), mailed))
    assert log.pop("run") == str(mailed)
    del run["run"], run["search"]["stopped"], log["search"]["stopped"]
    assert log == run


def test_a_log_is_compared_with_a_run(mailed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two may be shown side by side, whatever each is."""
    assert "both searched the same problem" in shown(mailed, small_run(), capsys=capsys)


def test_a_log_is_reported(mailed: Path, results: Results, capsys: pytest.CaptureFixture[str]) -> None:
    """The page has the verified networks and says what only the folder has; it lies beside the log."""
    assert main(["report", str(mailed)]) == 0
    target = mailed.with_name("theirs-report.html")
    assert str(target) in capsys.readouterr().out
    page = target.read_text(encoding="utf-8")
    assert f"{100 * results.verified[0].elp_reduction:.1f}" in page
    assert "expected a run folder, which has the weights, found a log alone" in page
    assert f"eenn-rl replay {mailed}<" in page
    assert f"{mailed}/" not in page, "it is no folder: nothing lies in it"


def test_what_was_verified_again_counts_once(mailed: Path, results: Results) -> None:
    """More networks of one run join those that are logged; against other static networks they stand alone."""
    more = replace(results.verified[0], validation_reward=-9.0)
    with TrajectoryWriter.resume(mailed) as writer:
        for record in records_of(replace(results, verified=(*results.verified, more))):
            writer.add_verification(record)
    with open_log(mailed) as log:
        assert logged_results(log) == replace(results, verified=(*results.verified, more))
    other = replace(results, static=replace(results.static, accuracy=0.5), verified=(more,))
    with TrajectoryWriter.resume(mailed) as writer:
        writer.add_verification(records_of(other)[0])
    with open_log(mailed) as log:
        assert logged_results(log) == other


def test_a_search_alone_is_shown_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log without verified networks lists those found, of the problem that was searched, and claims no more."""
    path = tmp_path / "search.h5"
    write_log(path, make_evaluator(), 60)
    text = shown(path, capsys=capsys)
    assert "not trained in full, not measured on test" in text
    assert "going on needs its run folder" in text
    with open_log(path) as log:
        assert f"dataset {log.meta.tables_info['dataset']}" in text
        best = logged_found(log).candidates[0]
        row = log.top(1)[0]
        assert best.reward == log.columns("return")["return"][row]
        assert len(best.predicted.exit_rates) == len(best.architecture["exits"])


def test_the_report_of_a_search_alone_advises_what_works(tmp_path: Path) -> None:
    """A log can be neither resumed nor verified: the page says so, and names no command that would refuse it."""
    path = tmp_path / "search.h5"
    write_log(path, make_evaluator(), 60)
    page = write_report([path]).read_text(encoding="utf-8")
    assert page.count("going on needs its run folder") == 2
    assert "eenn-rl verify" not in page
    assert "eenn-rl train" not in page


def test_an_older_log_says_what_it_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Logs that were written without the measured baselines are shown, and nothing is made up."""
    path = tmp_path / "older.h5"
    write_log(path, make_evaluator(), 60)
    with TrajectoryWriter.resume(path) as writer:
        writer.add_verification({"feasible": True, "measured": {"accuracy": 0.5}})
    assert "without what they were measured against" in shown(path, capsys=capsys)
    with open_log(path) as log:
        assert logged_results(log) is None


@pytest.mark.parametrize("version", [1, 2])
def test_golden_logs_are_shown(version: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The first logs of each format can be shown."""
    assert "on the Pareto front" in shown(DATA / f"trajectories_v{version}.h5", capsys=capsys)


@pytest.mark.parametrize("change", [{"space_size": "x"}, {"more": 1}, {"static": None}])
def test_nonsense_is_refused_in_one_line(mailed: Path, results: Results, change: dict[str, object]) -> None:
    """Records are a stranger's: what does not fit is named."""
    record = records_of(results)[-1]
    with TrajectoryWriter.resume(mailed) as writer:
        writer.add_verification({**record, "results": {**record["results"], **change}})
    with open_log(mailed) as log, pytest.raises(EennError, match="verification 2") as caught:
        logged_results(log)
    assert "\n" not in str(caught.value)


def test_weights_are_not_in_a_log(mailed: Path, results: Results) -> None:
    """What only the folder has is asked for in one line."""
    with pytest.raises(InputFileError, match="expected a run folder, which has the weights, found a log alone"):
        open_run_or_log(mailed).weights(results.verified[0])


def test_a_damaged_log_is_one_line(mailed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A truncated file, one that is no log, and one whose baselines were taken away: status 2."""
    truncated, other = mailed.with_name("truncated.h5"), mailed.with_name("notes.txt")
    truncated.write_bytes(mailed.read_bytes()[:5000])
    other.write_text("no log\n", encoding="utf-8")
    with h5py.File(mailed, "r+") as file:
        del file["meta/baselines"]
        file["meta/baselines"] = "[]"
    for path in (truncated, other, mailed):
        assert main(["show", str(path)]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
