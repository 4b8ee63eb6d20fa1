"""Replaying a log: equal to the last bit, or the first difference and whose it is."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from eenn_rl.errors import EennError
from eenn_rl.estimator import Estimator
from eenn_rl.evaluator import Evaluator
from eenn_rl.replay import ReplayResult, problem, replay_file
from eenn_rl.trajectory import TrajectoryWriter, current_versions, open_log
from eenn_rl.trajectory.rows import UNSEALED, digests
from logged_problem import make_evaluator, write_log

EPISODES = 80


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return make_evaluator()


@pytest.fixture(scope="module")
def original(evaluator: Evaluator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "trajectories.h5"
    write_log(path, evaluator, EPISODES, block=30)
    return path


@pytest.fixture
def log(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "copy.h5"))


@pytest.fixture
def fast(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch) -> Evaluator:
    """The evaluator is not built anew from the file: for tests whose subject is the comparison."""
    monkeypatch.setattr("eenn_rl.replay.run.rebuild", lambda *_arguments: evaluator)
    return evaluator


def change(path: Path, name: str, row: Any, value: Any) -> Any:
    with h5py.File(path, "r+") as file:
        before = file[name][row]
        file[name][row] = value(before) if callable(value) else value
        return before


def reseal(path: Path) -> None:
    """What a forger would do: digests that fit the altered content."""
    with open_log(path) as log:
        sealed = digests(next(log.blocks(len(log))), UNSEALED)
    with h5py.File(path, "r+") as file:
        file["episodes/digest"][...] = sealed


def step_of(path: Path, episode: int, step: int) -> int:
    with h5py.File(path, "r") as file:
        return int(file["episodes/start"][episode]) + step


def test_a_log_alone_is_executed_again_bit_by_bit(log: Path) -> None:
    """A copy of the file, without its run folder, gives every observation, mask, reward and cost again."""
    result = replay_file(log)
    assert (result.verdict, result.exit_status, result.differing) == ("identical", 0, 0)
    with open_log(log) as found:
        assert (result.episodes, result.steps) == (EPISODES, found.steps)


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("observations", "observations/values", lambda row: np.where(np.arange(len(row)) == 7, row + 1e-7, row)),
        ("observations", "observations/flags", lambda row: np.where(np.arange(len(row)) == 4, row ^ 16, row)),
        ("masks", "masks", lambda row: ~row),
        ("actions", "actions", lambda action: action + 1),
        ("rewards", "rewards", lambda reward: np.nextafter(reward, 9)),
    ],
)
@pytest.mark.parametrize("forged", [False, True])
@pytest.mark.usefixtures("fast")
def test_an_altered_step_is_found_and_called_altered(
    log: Path, name: str, column: str, value: Callable[[Any], Any], forged: bool
) -> None:
    """One changed value of one step: the verdict is `altered`, and names episode, step and field."""
    change(log, f"steps/{column}", step_of(log, 33, 2), value)
    if forged:
        reseal(log)
    result = replay_file(log)
    assert (result.verdict, result.exit_status, result.differing) == ("altered", 1, 1)
    assert result.first is not None
    assert (result.first.episode, result.first.step, result.first.field) == (33, 2, name)
    assert result.broken_episodes == (() if forged else (33,))
    assert "altered after it was written" in "\n".join(result.lines())


@pytest.mark.usefixtures("fast")
def test_an_altered_end_of_all_observations_is_found(log: Path) -> None:
    """What all observations share is sealed as a part of the description."""
    change(log, "steps/observations/constant", 3, lambda value: value + np.float32(0.5))
    result = replay_file(log)
    assert (result.verdict, result.altered_parts) == ("altered", ("observations",))
    assert result.first is not None
    assert (result.first.episode, result.first.step, result.first.field) == (0, 0, "observations")


@pytest.mark.parametrize("field", ["accuracy", "energy_j", "latency_s", "elp", "return", "thresholds", "seed"])
@pytest.mark.usefixtures("fast")
def test_an_altered_evaluation_is_found(log: Path, field: str) -> None:
    """One changed value of one episode's evaluation is found; what execution does not decide, by its digest."""
    change(log, f"episodes/{field}", 71, lambda value: value + (1 if field == "seed" else 1e-12))
    result = replay_file(log)
    assert result.verdict == "altered"
    assert result.broken_episodes == (71,)
    if field != "seed":
        assert result.first is not None
        assert (result.first.episode, result.first.step, result.first.field) == (71, None, field)


@pytest.mark.usefixtures("fast")
def test_an_altered_last_action_is_told_from_an_altered_architecture(log: Path, tmp_path: Path) -> None:
    """A last action shows only in what was built: the evaluation says which of the two was changed."""
    other = Path(shutil.copy(log, tmp_path / "other.h5"))
    with open_log(log) as found:
        last = len(next(found.episodes([20])).actions) - 1
        used = int((next(found.episodes([20])).architecture[:, 0] >= 0).sum()) - 1
    change(log, "steps/actions", step_of(log, 20, last), lambda action: action + (1 if action % 12 < 5 else -1))
    change(other, "episodes/architecture", 20, lambda genome: _next_core(genome, used))
    first, second = replay_file(log).first, replay_file(other).first
    assert first is not None
    assert second is not None
    assert (first.episode, first.step, first.field) == (20, last, "actions")
    assert (second.episode, second.step, second.field) == (20, None, "architecture")


def _next_core(genome: np.ndarray[Any, Any], row: int) -> np.ndarray[Any, Any]:
    genome[row, 4] += 1 if genome[row, 4] == 0 else -1
    return genome


@pytest.mark.usefixtures("fast")
def test_an_illegal_action_is_found(log: Path) -> None:
    """An action outside the mask is reported as such, not as an error."""
    change(log, "steps/actions", step_of(log, 5, 0), 999)
    result = replay_file(log)
    assert result.first is not None
    assert (result.first.episode, result.first.step, result.first.field) == (5, 0, "actions")
    assert result.verdict == "altered"


def test_another_cost_model_is_not_an_altered_log(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the installed backend computes otherwise, the log is said to be intact and the cost model another."""
    make = problem.make_backend

    def changed(*arguments: Any) -> Any:
        backend = make(*arguments)
        cost = backend.evaluate_batch

        def dearer(*inputs: Any) -> Any:
            energy, latency, *rest = cost(*inputs)
            return energy * (1 + 1e-9), latency, *rest

        backend.evaluate_batch = dearer
        return backend

    monkeypatch.setattr(problem, "make_backend", changed)
    result = replay_file(log)
    assert (result.verdict, result.exit_status, result.broken) == ("other", 1, 0)
    text = "\n".join(result.lines())
    assert "the log is as it was written" in text
    assert "the cost model is another: static energy_j" in text


def test_another_estimator_is_not_an_altered_log(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where accuracies are estimated otherwise, the log is said to be intact and the estimator another."""
    for name in ("estimate", "choose"):
        monkeypatch.setattr(Estimator, name, _stricter(getattr(Estimator, name)))
    result = replay_file(log)
    assert (result.verdict, result.exit_status, result.broken) == ("other", 1, 0)
    assert "the estimator is another: static accuracy" in "\n".join(result.lines())


def _stricter(estimates: Callable[..., Any]) -> Callable[..., Any]:
    def estimate(*arguments: Any) -> Any:
        found = estimates(*arguments)
        return replace(found, accuracy=found.accuracy - 1e-9)

    return estimate


def test_code_that_was_changed_under_the_same_version_is_other_code(
    log: Path, fast: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A digest of the sources tells it, also where only one episode in eighty comes out otherwise."""
    with open_log(log) as found:
        changed = next(found.episodes([5])).architecture
    score = fast.score_batch

    def other(genomes: Any) -> Any:
        batch = score(genomes)
        return replace(batch, elp=batch.elp * (1 + (genomes == changed).all((1, 2)) * 1e-9))

    monkeypatch.setattr(fast, "score_batch", other)
    assert replay_file(log).verdict == "altered"  # by this very code
    here = {**current_versions(), "code": "0123456789abcdef"}
    monkeypatch.setattr("eenn_rl.replay.run.current_versions", lambda: here)
    result = replay_file(log)
    assert (result.verdict, result.differing) == ("other", 1)
    assert any(line.strip().startswith("code is another") for line in result.lines())


@pytest.mark.usefixtures("fast")
def test_a_changed_environment_is_other_code(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where observations come out otherwise in every episode of an intact log, the code is the other one."""
    from eenn_envs.core import EpisodeCore

    reset = EpisodeCore.reset

    def changed(core: EpisodeCore, which: Any) -> None:
        reset(core, which)
        core.observations[which, -1] += 0.5

    monkeypatch.setattr(EpisodeCore, "reset", changed)
    result = replay_file(log)
    assert result.verdict == "other"
    assert "same versions, other values" in result.lines()[-1]


@pytest.mark.usefixtures("fast")
def test_other_versions_with_equal_values_are_identical(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package version alone is a note: what counts is that every bit is the same."""
    monkeypatch.setattr("eenn_rl.replay.run.current_versions", lambda: {"eenn_rl": "99.0", "numpy": "0"})
    result = replay_file(log)
    assert result.exit_status == 0
    assert any("eenn_rl is another" in line for line in result.lines())


@pytest.mark.parametrize("part", ["accelerator", "tables", "objective"])
def test_an_altered_description_is_named(log: Path, part: str) -> None:
    """A changed accelerator, table or objective in the file is called altered, and which."""
    with h5py.File(log, "r+") as file:
        if part == "tables":
            file["meta/tables/correct"][3:6] = False
        else:
            text = json.loads(file[f"meta/{part}"][()])
            if part == "accelerator":
                text["source"] += " (altered)"
            else:
                text["overhead"] = 0.05
            del file[f"meta/{part}"]
            file[f"meta/{part}"] = np.bytes_(json.dumps(text, sort_keys=True).encode())
    result = replay_file(log)
    assert (result.verdict, result.altered_parts) == ("altered", (part,))
    assert f"its description does not fit its digests: {part}" in "\n".join(result.lines())


def verified(path: Path) -> None:
    """Three verifications, of the last of which nothing was measured."""
    genome = np.full((4, 5), -1, np.int16)
    with TrajectoryWriter.resume(path) as writer:
        for accuracy in (0.91, 0.92):
            measured = {"accuracy": accuracy, "energy_j": 1e-6, "latency_s": 1e-5, "elp": 1e-11}
            writer.add_verification({"feasible": True, "measured": measured, "elp_reduction": 0.5}, genome)
        writer.add_verification({"feasible": False})


def change_text(path: Path, old: bytes, new: bytes) -> None:
    """In the records' text, where it comes first; as long as before."""
    with h5py.File(path, "r+") as file:
        text = file["verifications/text"][...].tobytes()
        assert old in text
        file["verifications/text"][...] = np.frombuffer(text.replace(old, new, 1), np.uint8)


FORGERIES: dict[str, tuple[Callable[[Path], object], tuple[int, ...]]] = {
    "accuracy": (lambda path: change(path, "verifications/accuracy", 0, 0.99), (0,)),
    "verdict": (lambda path: change(path, "verifications/feasible", 2, value=True), (2,)),
    "architecture": (lambda path: change(path, "verifications/architecture", 1, 3), (1,)),
    "text": (lambda path: change_text(path, b'"accuracy": 0.92', b'"accuracy": 0.99'), (1,)),
    "reduction in the text": (lambda path: change_text(path, b'"elp_reduction": 0.5', b'"elp_reduction": 0.9'), (0,)),
    "both": (
        lambda path: (
            change(path, "verifications/accuracy", 0, 0.99),
            change_text(path, b'"accuracy": 0.91', b'"accuracy": 0.99'),
        ),
        (0,),
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_altered_verifications_are_named(forgery: str, log: Path) -> None:
    """What was measured is sealed, too: its numbers, its record, and both changed alike."""
    verified(log)
    assert replay_file(log).verdict == "identical"
    change_it, rows = FORGERIES[forgery]
    change_it(log)
    result = replay_file(log)
    assert (result.verdict, result.exit_status, result.altered_verifications) == ("altered", 1, rows)
    assert f"verifications that do not fit their records and seals: {rows[0]}" in "\n".join(result.lines())


def test_verifications_of_earlier_logs_have_no_seal(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They replay as they are; numbers that differ from their record are still found."""
    monkeypatch.setattr("eenn_rl.trajectory.writer.SEAL", "no_seal")
    verified(log)
    assert open_log(log).altered_verifications == ()
    change(log, "verifications/accuracy", 1, 0.99)
    assert open_log(log).altered_verifications == (1,)


def test_an_altered_attribute_is_named(log: Path) -> None:
    """Root attributes repeat the description; one that says something else is told."""
    with h5py.File(log, "r+") as file:
        file.attrs["backend_version"] = np.bytes_(b"9.9")
    assert replay_file(log).altered_parts == ("attributes",)


def test_a_log_whose_backend_is_missing_is_wrong_input(log: Path, original: Path) -> None:
    """A backend that is not installed is one clear line, not a finding."""
    with open_log(original) as found:
        meta = found.meta
    log.unlink()
    TrajectoryWriter.create(log, replace(meta, backend={"name": "multicor"})).close()
    with pytest.raises(EennError, match="did you mean multicore"):
        replay_file(log)


def test_an_empty_log_is_identical(tmp_path: Path, evaluator: Evaluator) -> None:
    """A run that was stopped before its first episode replays."""
    write_log(tmp_path / "empty.h5", evaluator, 0)
    assert replay_file(tmp_path / "empty.h5").exit_status == 0


def test_few_differences_without_a_known_change_are_alterations() -> None:
    """A forged log is told by the same code: most episodes come out equal; a changed code changes most of them."""
    assert ReplayResult(100, 900, 1.0, differing=3).verdict == "altered"
    assert ReplayResult(100, 900, 1.0, differing=97).verdict == "other"
    assert ReplayResult(100, 900, 1.0, differing=3, changes=("the cost model is another",)).verdict == "other"
    assert ReplayResult(100, 900, 1.0, differing=3, broken=1, versions=("numpy",)).verdict == "altered"


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("accelerator", "allocations", [[0]] * 5000),
        ("accelerator", "cores", []),
        ("backbone", "num_classes", 10**30),
        ("backbone", "blocks", "many"),
        ("space", "max_exits", 10**9),
        ("space", "bits", list(range(1, 33)) * 100),
        ("environment", "layout", {"blocks": 1, "branches": [], "bits": [], "exits": 10**9, "allocations": 10**9}),
        ("environment", "layout", None),
        ("objective", "overhead", float("nan")),
        ("tables_info", "bits", [[]]),
    ],
)
def test_a_hostile_description_is_neither_executed_nor_a_crash(log: Path, part: str, key: str, value: object) -> None:
    """Absurd values in the description, under digests that fit, end in one clear line."""
    with open_log(log) as found:
        data = {**getattr(found.meta, part), key: value}
        hostile = replace(found.meta, **{part: data})
    log.unlink()
    TrajectoryWriter.create(log, hostile).close()
    with pytest.raises(EennError) as caught:
        replay_file(log)
    assert "\n" not in str(caught.value)
