"""The trajectory file: what is added is there, whole at every moment, and only once."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eenn_rl.episodes import EpisodeBatch
from eenn_rl.errors import InvalidValueError
from eenn_rl.trajectory import TrajectoryError, TrajectoryWriter, open_log
from eenn_rl.trajectory.distinct import first_of_each
from eenn_rl.trajectory.flatten import rows_of
from eenn_rl.trajectory.front import pareto_front
from eenn_rl.trajectory.overlay import Overlay
from eenn_rl.trajectory.rows import UNSEALED, broken_links, first_difference
from eenn_rl.trajectory.schema import EPISODES, PACKED_STEPS, STEPS, UPDATES
from trajectory_samples import CONSTANT, DIMENSIONS, FLAGS, OBSERVATION, SAMPLE_RECORD, sample_batch, sample_meta


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def part(batch: EpisodeBatch, start: int, stop: int) -> EpisodeBatch:
    rows = np.arange(start, stop)
    arrays = {name: getattr(batch, name)[rows] for name in ("observations", "masks", "actions", "rewards")}
    kept = {name: getattr(batch, name)[rows] for name in ("lengths", "seeds", "genomes")}
    return EpisodeBatch(**arrays, **kept, evaluation=batch.evaluation.take(rows))


def content(path: Path) -> dict[str, bytes]:
    """All data sets and attributes but the ones about wall time, for comparison."""
    found = {}
    with h5py.File(path, "r") as file:

        def keep(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and name != "episodes/wall_s":
                found[name] = item[()].tobytes()

        file.visititems(keep)
        found |= {f"@{name}": np.asarray(value).tobytes() for name, value in file.attrs.items() if name != "created"}
    return found


def test_what_is_added_is_read_back_bit_for_bit(tmp_path: Path, rng: np.random.Generator) -> None:
    """Episodes, verifications and the description come back exactly as they were given."""
    batches = [sample_batch(rng, 70), sample_batch(rng, 5, ["broke: ä" * 40, None, "", None, "x"])]
    meta = sample_meta()
    with TrajectoryWriter.create(tmp_path / "log.h5", meta) as writer:
        for batch in batches:
            writer.add_episodes(batch)
        for _ in range(2):
            writer.add_verification(SAMPLE_RECORD, batches[0].genomes[3])
        writer.close(finished=True)
    with open_log(tmp_path / "log.h5") as log:
        assert (len(log), log.finished, log.altered_parts) == (75, True, ())
        assert log.meta.texts() == meta.texts()
        assert log.meta.differences(meta) == ()
        rows = list(log.blocks(70))
        for batch, found in zip(batches, rows, strict=True):
            wanted = rows_of(batch, int(found.episodes["start"][0]), 0.0)
            assert first_difference(wanted, found, 0) is None
        assert broken_links(rows[0], UNSEALED).size == 0
        assert log.verifications() == [json.loads(json.dumps(SAMPLE_RECORD))]
        assert log.verification_columns()["elp"].tolist() == [1.2e-8]
        assert (log.verification_columns()["architecture"][0] == batches[0].genomes[3]).all()


def test_plain_h5py_reads_every_saved_episode_while_the_writer_is_at_work(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """After every flush, and without closing the writer, plain `h5py.File(path, "r")` shows what was saved."""
    path = tmp_path / "log.h5"
    writer = TrajectoryWriter.create(path, sample_meta())
    for count in (1, 40, 300, 2, 700):
        before = writer.saved
        batch = sample_batch(rng, count)
        writer.add_episodes(batch)
        writer.flush()
        with h5py.File(path, "r") as file:
            assert file["episodes/return"].shape == (before + count,)
            assert np.array_equal(file["episodes/elp"][before:], batch.evaluation.elp)
            assert file["steps/actions"].shape[0] == file["episodes/length"][...].sum()
    writer.close()


def test_a_reader_who_holds_the_file_open_sees_no_change(tmp_path: Path, rng: np.random.Generator) -> None:
    """What a reader opened stays as it was, however much is written meanwhile."""
    path = tmp_path / "log.h5"
    with TrajectoryWriter.create(path, sample_meta()) as writer:
        writer.add_episodes(sample_batch(rng, 300))
        writer.flush()
        with open_log(path) as log:
            before = log.columns("elp")["elp"]
            for _ in range(4):
                writer.add_episodes(sample_batch(rng, 300))
                writer.flush()
            assert len(log) == 300
            assert np.array_equal(log.columns("elp")["elp"], before)
            assert sum(len(rows) for rows in log.blocks()) == 300
    with open_log(path) as log:
        assert len(log) == 1500


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=6))
def test_flushing_does_not_change_the_content(tmp_path: Path, cuts: list[tuple[int, bool]]) -> None:
    """However the episodes are cut into batches and flushes, the file's content is the same."""
    whole = sample_batch(np.random.default_rng(1), sum(count for count, _ in cuts))
    paths = [tmp_path / "cut.h5", tmp_path / "whole.h5"]
    for path in paths:
        path.unlink(missing_ok=True)
    with TrajectoryWriter.create(paths[0], sample_meta()) as writer:
        start = 0
        for count, flush in cuts:
            writer.add_episodes(part(whole, start, start + count))
            start += count
            if flush:
                writer.flush()
    with TrajectoryWriter.create(paths[1], sample_meta()) as writer:
        writer.add_episodes(whole)
    assert content(paths[0]) == content(paths[1])


KILLED = """
import sys
import numpy as np
from pathlib import Path
from trajectory_samples import sample_batch, sample_meta
from eenn_rl.trajectory import TrajectoryWriter
writer = TrajectoryWriter.create(Path(sys.argv[1]), sample_meta())
rng = np.random.default_rng(0)
while True:
    writer.add_episodes(sample_batch(rng, 40))
    writer.flush()
    print(writer.saved, flush=True)
"""


def child(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    paths = [str(Path(__file__).parent), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **options)  # type: ignore[call-overload]


@pytest.mark.parametrize("reports", [1, 7, 20])
def test_a_killed_writer_loses_nothing_it_reported(tmp_path: Path, reports: int) -> None:
    """SIGKILL in the middle of writing leaves a file that plain h5py opens and that holds all saved episodes."""
    path = tmp_path / "log.h5"
    with child(KILLED, path) as process:
        assert process.stdout is not None
        saved = [int(process.stdout.readline()) for _ in range(reports)][-1]
        process.send_signal(signal.SIGKILL)
        saved = max([saved, *map(int, process.stdout.read().split())])
    with h5py.File(path, "r") as file:
        assert file["episodes/return"].shape[0] >= saved
    with TrajectoryWriter.resume(path, sample_meta()) as writer:
        assert len(writer) >= saved
        writer.add_episodes(sample_batch(np.random.default_rng(9), 10))
    with open_log(path) as log:
        assert broken_links(next(log.blocks(10**6)), UNSEALED).size == 0
    assert [item.name for item in tmp_path.iterdir()] == ["log.h5"]


def test_resuming_repeats_what_was_logged_and_then_appends(tmp_path: Path, rng: np.random.Generator) -> None:
    """Episodes logged after the checkpoint stay; the repeated ones are compared, not added; the rest follows."""
    whole = sample_batch(rng, 120)
    with TrajectoryWriter.create(tmp_path / "once.h5", sample_meta()) as writer:
        writer.add_episodes(whole)
    path = tmp_path / "twice.h5"
    with TrajectoryWriter.create(path, sample_meta()) as writer:
        writer.add_episodes(part(whole, 0, 70))
    with TrajectoryWriter.resume(path, sample_meta()) as writer:
        writer.rewind(31)
        writer.add_episodes(part(whole, 31, 50))
        writer.add_episodes(part(whole, 50, 100))
        assert (writer.saved, len(writer)) == (70, 100)
        writer.add_episodes(part(whole, 100, 120))
    assert content(path) == content(tmp_path / "once.h5")


def test_a_resumed_search_that_differs_is_told_where(tmp_path: Path, rng: np.random.Generator) -> None:
    """A repeated episode that comes out otherwise is refused, with episode, step and field."""
    whole = sample_batch(rng, 20)
    with TrajectoryWriter.create(tmp_path / "log.h5", sample_meta()) as writer:
        writer.add_episodes(whole)
    whole.rewards[13, whole.lengths[13] - 1] += 1e-9
    with TrajectoryWriter.resume(tmp_path / "log.h5") as writer:
        writer.rewind(10)
        assert len(writer) == 20
        with pytest.raises(TrajectoryError, match=rf"episode 13, step {whole.lengths[13] - 1}, rewards: logged"):
            writer.add_episodes(part(whole, 10, 20))
        with pytest.raises(TrajectoryError, match="at least 21 episodes"):
            writer.rewind(21)


def test_updates_are_read_back_and_repeated_on_resume(tmp_path: Path, rng: np.random.Generator) -> None:
    """A policy's updates are kept in order; those after a checkpoint are compared when they come again, not added."""
    whole, path = sample_batch(rng, 64), tmp_path / "log.h5"
    given = [(32, 1.25), (64, float(np.nextafter(1.0, 0)))]
    with TrajectoryWriter.create(path, sample_meta()) as writer:
        writer.add_episodes(whole)
        for update in given:
            writer.add_update(*update)
        with pytest.raises(InvalidValueError, match="more than 64"):
            writer.add_update(64, 0.5)
    with TrajectoryWriter.resume(path) as writer:
        writer.rewind(32)
        with pytest.raises(TrajectoryError, match=r"found policy update 1: logged \(64, 0.99"):
            writer.add_update(64, 1.0)
        writer.add_update(*given[1])
        writer.add_update(90, 0.5)
        writer.rewind(0)
        writer.add_update(*given[0])
    with open_log(path) as log:
        found = log.updates()
    assert list(zip(found["evaluations"].tolist(), found["entropy"].tolist(), strict=True)) == [*given, (90, 0.5)]


def test_another_runs_log_is_not_continued(tmp_path: Path) -> None:
    """Resuming with another accelerator is refused and names what differs; versions may differ."""
    TrajectoryWriter.create(tmp_path / "log.h5", sample_meta()).close()
    with pytest.raises(TrajectoryError, match="but its accelerator differ"):
        TrajectoryWriter.resume(tmp_path / "log.h5", sample_meta(accelerator={"name": "other"}))
    TrajectoryWriter.resume(tmp_path / "log.h5", sample_meta(versions={"eenn_rl": "9"})).close()


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """One writer per file, across processes; the name is free again when the first one is gone."""
    path = tmp_path / "log.h5"
    writer = TrajectoryWriter.create(path, sample_meta())
    with pytest.raises(TrajectoryError, match="found one at work"):
        TrajectoryWriter.resume(path)
    writer.close()
    TrajectoryWriter.resume(path).close()
    with pytest.raises(TrajectoryError, match="expected no file, found one"):
        TrajectoryWriter.create(path, sample_meta())
    with pytest.raises(TrajectoryError, match="expected a folder that can be written to"):
        TrajectoryWriter.create(tmp_path / "nowhere" / "log.h5", sample_meta())


FULL = """
import resource, sys
import numpy as np
from pathlib import Path
from trajectory_samples import sample_batch, sample_meta
from eenn_rl.errors import EennError
from eenn_rl.trajectory import TrajectoryWriter
writer = TrajectoryWriter.create(Path(sys.argv[1]), sample_meta())
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
rng = np.random.default_rng(0)
try:
    with writer:
        while True:
            writer.add_episodes(sample_batch(rng, 40))
            writer.flush()
            print(writer.saved, flush=True)
except EennError as error:
    print(error)
    sys.exit(2)
"""


def test_a_full_disk_ends_in_one_line_and_a_readable_file(tmp_path: Path) -> None:
    """Where the file cannot grow, the writer says so in one line; everything saved before stays readable."""
    path = tmp_path / "log.h5"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    with child(FULL, path, 400_000, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=60)
    *saved, message = out.strip().split("\n")
    assert process.returncode == 2
    assert err == ""
    assert "expected room for" in message
    assert "found the file size limit" in message
    with open_log(path) as log:
        assert len(log) == int(saved[-1])
        assert sum(len(rows) for rows in log.blocks()) == int(saved[-1])
    assert [item.name for item in tmp_path.iterdir()] == ["log.h5"]


def test_flushes_come_by_themselves(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """An add five seconds or more after the last flush flushes; sooner ones only where flushing is cheap."""
    clock = [100.0]
    monkeypatch.setattr("eenn_rl.trajectory.writer.time.monotonic", lambda: clock[0])
    with TrajectoryWriter.create(tmp_path / "log.h5", sample_meta()) as writer:
        writer.add_episodes(sample_batch(rng, 3))
        assert (len(writer), writer.saved) == (3, 0)
        clock[0] += 0.6
        writer.add_episodes(sample_batch(rng, 3))
        assert (len(writer), writer.saved) == (6, 6)
        writer._flush_cost = 30.0
        clock[0] += 4.9
        writer.add_episodes(sample_batch(rng, 3))
        assert (len(writer), writer.saved) == (9, 6)
        clock[0] += 0.2
        writer.add_episodes(sample_batch(rng, 3))
        assert (len(writer), writer.saved) == (12, 12)


def test_what_fails_beside_the_search_is_told_to_it(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An episode that cannot be written is no silent loss: the error reaches a later call, the file stays as it was."""
    path = tmp_path / "log.h5"
    with TrajectoryWriter.create(path, sample_meta()) as writer:
        writer.add_episodes(sample_batch(rng, 20))

    def fail(*_arguments: object) -> None:
        raise MemoryError

    writer = TrajectoryWriter.resume(path)
    monkeypatch.setattr("eenn_rl.trajectory.writer.Growing.append", fail)
    with pytest.raises(MemoryError):  # noqa: PT012  (which of the calls tells it is a matter of time)
        writer.add_episodes(sample_batch(rng, 20))
        writer.flush()
    monkeypatch.undo()
    writer.add_episodes(sample_batch(rng, 5))
    writer.close()
    with open_log(path) as log:
        assert len(log) == 20
        assert broken_links(next(log.blocks(99)), UNSEALED).size == 0


def test_an_interrupt_leaves_a_flush_whole(tmp_path: Path, rng: np.random.Generator) -> None:
    """Ctrl-C in the middle of a flush strikes the caller, not the flush: everything is saved."""
    writer = TrajectoryWriter.create(tmp_path / "log.h5", sample_meta())
    writer.add_episodes(sample_batch(rng, 30))
    publish = writer._published.publish
    writer._published.publish = lambda delta: (os.kill(os.getpid(), signal.SIGINT), publish(delta))[1]  # type: ignore[method-assign]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process is started without it
    try:
        with pytest.raises(KeyboardInterrupt):
            writer.flush()
    finally:
        signal.signal(signal.SIGINT, before)
    writer.close()
    with open_log(tmp_path / "log.h5") as log:
        assert len(log) == 30


def test_the_reading_side_filters_and_ranks(tmp_path: Path, rng: np.random.Generator) -> None:
    """Feasible, distinct, top-k and Pareto front agree with a plain computation over all episodes."""
    batch = sample_batch(rng, 400)
    batch.genomes[200:] = batch.genomes[:200]
    with TrajectoryWriter.create(tmp_path / "log.h5", sample_meta()) as writer:
        writer.add_episodes(batch)
    values = batch.evaluation
    with open_log(tmp_path / "log.h5") as log:
        assert log.feasible().tolist() == np.flatnonzero(values.feasible).tolist()
        assert log.distinct().tolist() == list(range(200))
        good = [i for i in range(200) if values.feasible[i]]
        assert log.top(5, by="elp", largest=False).tolist() == sorted(good, key=lambda i: values.elp[i])[:5]
        points = np.stack([-values.accuracy, values.energy_j, values.latency_s], axis=1)
        beaten = {i for i in good for j in good if (points[j] <= points[i]).all() and (points[j] < points[i]).any()}
        assert set(log.front().tolist()) == set(good) - beaten
        episode = next(log.episodes([317]))
        assert (episode.index, episode.seed) == (317, batch.seeds[317])
        assert np.array_equal(episode.observations, batch.observations[317, : batch.lengths[317]])
        assert [e.index for e in log.episodes()] == list(range(400))
        for beyond in (-1, 400):
            with pytest.raises(InvalidValueError, match=f"episode must be at least 0 and below 400, found {beyond}"):
                next(log.episodes([beyond]))
        with pytest.raises(InvalidValueError, match="did you mean accuracy"):
            log.columns("acuracy")


@given(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, float("nan")])] * 3), max_size=12))
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float, float]]) -> None:
    """The sweep finds the rows that a comparison of all pairs leaves, one of each group of equals."""
    rows = np.array(points, np.float64).reshape(-1, 3)
    known = [i for i, row in enumerate(rows) if not np.isnan(row).any()]
    left = {
        tuple(rows[i]) for i in known
        if not any((rows[j] <= rows[i]).all() and (rows[j] < rows[i]).any() for j in known)
    }  # fmt: skip
    found = [tuple(rows[i]) for i in pareto_front(rows)]
    assert len(found) == len(left)
    assert set(found) == left


def test_the_front_of_many_is_that_of_all_their_parts() -> None:
    """The shortcut for many rows changes nothing: the front of a whole is that of its parts' fronts."""
    points = np.random.default_rng(2).integers(0, 60, (40_000, 3)).astype(np.float64)
    parts = [start + pareto_front(points[start : start + 5000]) for start in range(0, len(points), 5000)]
    candidates = np.concatenate(parts)
    wanted = {tuple(points[row]) for row in candidates[pareto_front(points[candidates])]}
    assert {tuple(points[row]) for row in pareto_front(points)} == wanted
    assert len(wanted) > 1


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 9))
def test_the_first_of_each_group_is_found(values: list[int], width: int) -> None:
    """Equal rows of any width are one, the first; also where every hash collides."""
    rows = np.repeat(np.array(values, np.int16)[:, None], width, axis=1)
    wanted = sorted({value: i for i, value in reversed(list(enumerate(values)))}.values())
    assert first_of_each(rows).tolist() == wanted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eenn_rl.trajectory.distinct._hash", lambda words: np.zeros(len(words), np.uint64))
        assert first_of_each(rows).tolist() == wanted


@given(st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_overlay_is_the_file_it_stands_for(tmp_path: Path, data: st.DataObject) -> None:
    """Any reads, writes and truncations through the overlay, applied as its delta, give what a plain file becomes."""
    begin = data.draw(st.binary(max_size=9000))
    path = tmp_path / "base"
    path.write_bytes(begin)
    plain = bytearray(begin)
    handle = os.open(path, os.O_RDWR)
    overlay = Overlay(handle)
    for _ in range(data.draw(st.integers(1, 6))):
        at, block = data.draw(st.integers(0, 12000)), data.draw(st.binary(min_size=1, max_size=5000))
        overlay.seek(at)
        overlay.write(memoryview(block))
        plain.extend(bytes(max(0, at - len(plain))))
        plain[at : at + len(block)] = block
        overlay.seek(data.draw(st.integers(0, 12000)))
        where = overlay.tell()
        assert overlay.read(3000) == bytes(plain[where : where + 3000])
    end = data.draw(st.integers(len(plain), len(plain) + 3000))
    overlay.truncate(end)
    plain.extend(bytes(end - len(plain)))
    delta = overlay.take()
    for at, block in delta.writes:
        os.pwrite(handle, block, at)
    os.ftruncate(handle, delta.size)
    os.close(handle)
    assert path.read_bytes() == bytes(plain)


def test_columns_have_the_documented_types(tmp_path: Path) -> None:
    """An empty log has every column, with its type and row shape, growing without bound and compressed."""
    TrajectoryWriter.create(tmp_path / "log.h5", sample_meta()).close()
    with h5py.File(tmp_path / "log.h5", "r") as file:
        assert set(file["steps"]) == {column.name for column in STEPS}
        assert set(file["steps/observations"]) == {"flags", "values", "constant"}
        for group, columns in (("steps", PACKED_STEPS), ("episodes", EPISODES), ("updates", UPDATES)):
            assert group == "steps" or set(file[group]) == {column.name for column in columns}
            for column in columns:
                dataset = file[group][column.name]
                assert dataset.dtype == np.dtype(column.dtype)
                assert dataset.shape == (0, *column.row_shape(DIMENSIONS))
                assert dataset.maxshape[0] is None
                assert dataset.compression == (None if column.name == "digest" else "gzip")  # digests are noise


def test_plain_h5py_puts_observations_together(tmp_path: Path, rng: np.random.Generator) -> None:
    """The documented way from bits, values and the constant end back to what was given, to the last bit."""
    batch = sample_batch(rng, 300)
    with TrajectoryWriter.create(tmp_path / "log.h5", sample_meta()) as writer:
        writer.add_episodes(batch)
    with h5py.File(tmp_path / "log.h5", "r") as file:
        group, flags = file["steps/observations"], int(file.attrs["observation_flags"])
        bits = np.unpackbits(group["flags"][...], axis=1, count=flags)
        end = np.broadcast_to(group["constant"][...], (len(bits), CONSTANT))
        found = np.hstack([bits, group["values"][...], end]).astype(np.float32)
    kept = np.arange(batch.actions.shape[1]) < batch.lengths[:, None]
    assert found.tobytes() == batch.observations[kept].tobytes()


@pytest.mark.parametrize(("at", "value"), [(3, 0.5), (FLAGS - 1, -0.0), (OBSERVATION - 1, 0.25)])
def test_what_packing_would_lose_is_refused(tmp_path: Path, rng: np.random.Generator, at: int, value: float) -> None:
    """A flag that is neither 0 nor 1, or another end than the run's, is an error and not a log that tells otherwise."""
    batch = sample_batch(rng, 20)
    batch.observations[7, 0, at] = value
    path, expected = tmp_path / "log.h5", pytest.raises(InvalidValueError, match="observation")
    with expected, TrajectoryWriter.create(path, sample_meta()) as writer:
        writer.add_episodes(batch)
    with open_log(path) as log:
        assert len(log) == 0


def test_observations_without_flags_are_stored_as_they_are(tmp_path: Path, rng: np.random.Generator) -> None:
    """Where nothing is known of the observations, they are written and continued as in format 1."""
    plain = sample_meta(dimensions=replace(DIMENSIONS, flags=0, constant=0), constant=np.zeros(0, np.float32))
    batch, path = sample_batch(rng, 50), tmp_path / "log.h5"
    with TrajectoryWriter.create(path, plain) as writer:
        writer.add_episodes(part(batch, 0, 20))
    with TrajectoryWriter.resume(path, plain) as writer:
        writer.rewind(5)
        writer.add_episodes(part(batch, 5, 50))
    with open_log(path) as log, h5py.File(path, "r") as file:
        rows = next(log.blocks(50))
        assert first_difference(rows_of(batch, 0, 0.0), rows, 0) is None
        assert broken_links(rows, UNSEALED).size == 0
        assert np.array_equal(file["steps/observations"][...], rows.steps["observations"])


def test_episodes_are_saved_while_the_search_waits_for_something_else(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was added is saved in time although nothing calls the writer any more: its search waits for a backend."""
    monkeypatch.setattr("eenn_rl.trajectory.writer.QUIET_S", (0.1, 0.3))
    with TrajectoryWriter.create(tmp_path / "log.h5", sample_meta()) as writer:
        for count, total in ((3, 3), (4, 7)):
            writer.add_episodes(sample_batch(rng, count))
            deadline = time.monotonic() + 60
            while writer.saved < total:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        with h5py.File(tmp_path / "log.h5", "r") as file:
            assert file["episodes/return"].shape == (7,)


def test_a_full_disk_found_by_the_alarm_is_told_to_the_search(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush that nobody called for fails as loudly as any other: the next call says why."""
    monkeypatch.setattr("eenn_rl.trajectory.writer.QUIET_S", (0.05, 0.1))
    failed = threading.Event()

    def full(*_arguments: object) -> None:
        failed.set()
        raise TrajectoryError("the disk is full")

    writer = TrajectoryWriter.create(tmp_path / "log.h5", sample_meta())
    monkeypatch.setattr(writer._published, "publish", full)
    writer.add_episodes(sample_batch(rng, 3))
    assert failed.wait(60)
    with pytest.raises(TrajectoryError, match="the disk is full"):
        len(writer)
    with pytest.raises(TrajectoryError, match="the disk is full"):
        writer.close()
