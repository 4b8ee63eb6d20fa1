"""Logs from strangers: whatever is in them ends in one clear line, without running, hanging or filling anything."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from eenn_rl.errors import EennError
from eenn_rl.trajectory import FORMAT_VERSION, TrajectoryError, TrajectoryWriter, open_log
from eenn_rl.trajectory.schema import PACKED_STEPS
from trajectory_mutations import lookup3, read_everything
from trajectory_samples import SAMPLE_RECORD, sample_batch, sample_meta

HERE = Path(__file__).parent
MUTATIONS = 84


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.h5"
    with TrajectoryWriter.create(path, sample_meta()) as writer:
        writer.add_episodes(sample_batch(np.random.default_rng(0), 50))
        writer.add_verification(SAMPLE_RECORD)
    return path


def replaced(file: Any, name: str, **made: Any) -> None:
    del file[name]
    file.create_dataset(name, **made)


def _external_link(file: Any) -> None:
    del file["steps/rewards"]
    file["steps/rewards"] = h5py.ExternalLink("/etc/passwd", "/")


def _soft_link(file: Any) -> None:
    del file["steps/rewards"]
    file["steps/rewards"] = h5py.SoftLink("/steps/observations")


def _linked_group(file: Any) -> None:
    file.move("steps", "elsewhere")
    file["steps"] = h5py.SoftLink("/elsewhere")


def _external_storage(file: Any) -> None:
    size = file["episodes/elp"].shape[0]
    external = [("/etc/passwd", 0, 8 * size)]
    replaced(file, "episodes/elp", shape=(size,), dtype="<f8", external=external)


def _virtual(file: Any) -> None:
    count = file["episodes/elp"].shape[0]
    layout = h5py.VirtualLayout((count,), "<f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (count,))
    del file["episodes/elp"]
    file.create_virtual_dataset("episodes/elp", layout)


def _references(file: Any) -> None:
    count = file["episodes/elp"].shape[0]
    replaced(file, "episodes/elp", shape=(count,), dtype=h5py.ref_dtype)


def _variable_text(file: Any) -> None:
    del file["meta/config"]
    file["meta/config"] = "{}"


def _huge_claim(file: Any) -> None:
    for column in PACKED_STEPS:
        file[f"steps/{column.name}"].resize(1 << 50, 0)


def _huge_contiguous(file: Any) -> None:
    replaced(file, "meta/tables/correct", shape=(1 << 45,), dtype="u1")


def _huge_chunk(file: Any) -> None:
    replaced(file, "steps/actions", shape=(0,), maxshape=(None,), chunks=(1 << 30,), dtype="<i2")


def _other_filter(file: Any) -> None:
    count = file["steps/actions"].shape[0]
    replaced(file, "steps/actions", shape=(count,), maxshape=(None,), dtype="<i2", compression="lzf", chunks=(64,))


def _compound(file: Any) -> None:
    count = file["episodes/elp"].shape[0]
    replaced(file, "episodes/elp", shape=(count,), dtype=[("a", "<f8"), ("b", h5py.string_dtype())])


def _wrong_shape(file: Any) -> None:
    shape = file["steps/masks"].shape
    replaced(file, "steps/masks", shape=(*shape, 2), maxshape=(None, *shape[1:], 2), dtype="?", chunks=(1, shape[1], 2))


def _wide(file: Any) -> None:
    name = "steps/observations/values"
    replaced(file, name, shape=(0, 1 << 40), maxshape=(None, 1 << 40), dtype="<f4", chunks=(1, 8))


def _other_flags(file: Any) -> None:
    file.attrs["observation_flags"] = np.int32(8)


def _negative_flags(file: Any) -> None:
    file.attrs["observation_flags"] = np.int32(-21)


def _endless_flags(file: Any) -> None:
    file.attrs["observation_flags"] = np.int64(1 << 60)


def _long_end(file: Any) -> None:
    replaced(file, "steps/observations/constant", data=np.zeros((1 << 20) + 1, np.float32))


def _many_long_observations(file: Any) -> None:
    """A million steps of a million values each, in a file of a few megabytes."""
    replaced(file, "steps/observations/constant", data=np.zeros((1 << 20) - 100, np.float32))
    count, steps = file["episodes/length"].shape[0], 1 << 20
    for name in ("flags", "values"):
        file[f"steps/observations/{name}"].resize(steps, 0)
    for name in ("masks", "actions", "rewards"):
        file[f"steps/{name}"].resize(steps, 0)
    file["episodes/length"][-1] = steps - int(file["episodes/start"][count - 1])


def _linked_end(file: Any) -> None:
    del file["steps/observations/constant"]
    file["steps/observations/constant"] = h5py.SoftLink("/episodes/elp")


def _unequal_columns(file: Any) -> None:
    file["episodes/elp"].resize(49, 0)


def _linked_updates(file: Any) -> None:
    del file["updates"]
    file["updates"] = h5py.ExternalLink("/etc/passwd", "/")


def _half_the_updates(file: Any) -> None:
    del file["updates/entropy"]


def _overlapping(file: Any) -> None:
    file["episodes/start"][10] -= 1


def _negative(file: Any) -> None:
    file["episodes/length"][3] = -5


def _long_episode(file: Any) -> None:
    file["episodes/length"][-1] = 1 << 30


def _no_bool(file: Any) -> None:
    before = file["episodes/feasible"]
    values = np.full(before.shape, 7, np.int8)
    before.id.write(h5py.h5s.ALL, h5py.h5s.ALL, values.view(np.bool_), h5py.h5t.py_create(np.dtype("?"), logical=True))


def _no_json(file: Any) -> None:
    replaced(file, "meta/config", data=np.bytes_(b"{"))


def _deep_json(file: Any) -> None:
    replaced(file, "meta/config", data=np.bytes_(b"[" * 200_000))


def _no_object(file: Any) -> None:
    replaced(file, "meta/space", data=np.bytes_(b"[1]"))


def _text_beyond(file: Any) -> None:
    file["verifications/text_length"][0] = 1 << 40


def _no_meta(file: Any) -> None:
    del file["meta"]


def _array_attribute(file: Any) -> None:
    file.attrs["format_version"] = np.arange(10)


def _other_format(file: Any) -> None:
    file.attrs["format"] = np.bytes_(b"something else")


HOSTILE = [value for name, value in list(globals().items()) if name.startswith("_") and callable(value)]


@pytest.mark.parametrize("harm", HOSTILE, ids=lambda harm: harm.__name__[1:])
def test_a_hostile_file_ends_in_one_line(log: Path, harm: Callable[[Any], None]) -> None:
    """Links, references, foreign storage, false claims and broken content are refused, and memory stays bounded."""
    with h5py.File(log, "r+") as file:
        harm(file)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(EennError) as caught:
        read_everything(log)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(log))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"not hdf5 at all", "a file of another kind"),
        (b"\x89HDF\r\n\x1a\n" + bytes(2000), "damaged content"),
        (None, "no file"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, content: bytes | None, found: str) -> None:
    """Empty, foreign and broken files, folders and pipes are told apart in one line."""
    path = tmp_path / "log.h5"
    if content is None:
        os.mkfifo(path)
    else:
        path.write_bytes(content)
    with pytest.raises(TrajectoryError, match=found):
        open_log(path)
    with pytest.raises(TrajectoryError, match="found nothing"):
        open_log(tmp_path / "absent.h5")
    with pytest.raises(TrajectoryError, match="found no file"):
        open_log(tmp_path)


def test_a_newer_format_is_refused_by_name(log: Path) -> None:
    """A version this package does not know is refused with the way out."""
    with h5py.File(log, "r+") as file:
        file.attrs["format_version"] = np.int32(FORMAT_VERSION + 1)
    with pytest.raises(TrajectoryError, match=rf"found {FORMAT_VERSION + 1}: the log was written by a newer eenn-rl"):
        open_log(log)


def test_a_log_cut_short_anywhere_is_refused(log: Path) -> None:
    """No prefix of a log opens as a log."""
    content = log.read_bytes()
    for size in np.linspace(0, len(content) - 1, 60).astype(int):
        log.write_bytes(content[:size])
        with pytest.raises(TrajectoryError):
            read_everything(log)


def test_numbers_that_are_none_are_read(log: Path) -> None:
    """NaN and infinities are values like others: ranking leaves them out, nothing fails."""
    with h5py.File(log, "r+") as file:
        file["episodes/elp"][::2] = np.nan
        file["episodes/accuracy"][::3] = np.inf
    read_everything(log)
    with open_log(log) as found:
        best = found.top(50, by="elp", largest=False)
        assert (best % 2 == 1).all()


def test_mutated_files_never_crash_the_interpreter(log: Path) -> None:
    """Bytes changed at random, at HDF5's structures and under fitting checksums: each is read or refused, quickly.

    benchmarks/log_fuzz.py does the same with thousands.
    """
    command = [sys.executable, "-X", "faulthandler", HERE / "trajectory_mutations.py", log, "0", str(MUTATIONS)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    outcomes = [line.split() for line in done.stdout.splitlines()]
    assert len(outcomes) == MUTATIONS
    assert {outcome for _, outcome, _ in outcomes} == {"read", "refused"}
    assert max(float(seconds) for *_, seconds in outcomes) < 10


def test_the_checksum_that_mutations_mend_is_hdf5s(log: Path) -> None:
    """Object headers of a real file carry the checksum that the mutations compute, or they would prove nothing."""
    data = log.read_bytes()
    at = data.find(b"OHDR")
    flags = data[at + 5]
    begin = at + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
    width = 1 << (flags & 3)
    end = begin + width + int.from_bytes(data[begin : begin + width], "little")
    assert int.from_bytes(data[end : end + 4], "little") == lookup3(data[at:end])


def test_descriptions_are_plain_json(log: Path) -> None:
    """Everything under /meta but the tables is JSON text of fixed length: nothing there is ever executed."""
    with h5py.File(log, "r") as file:
        for name, item in file["meta"].items():
            if name != "tables":
                assert item.dtype.kind == "S"
                json.loads(item[()])
