"""Growing: what is appended chunk by chunk is what plain HDF5 reads."""

import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eenn_rl.errors import InvalidValueError
from eenn_rl.trajectory import growing
from eenn_rl.trajectory.growing import Growing

FILTERS: list[dict[str, Any]] = [
    {},
    {"compression": "gzip", "compression_opts": 9},
    {"compression": "gzip", "compression_opts": 1, "shuffle": True},
    {"shuffle": True},
]
KINDS = ["|u1", "?", "<i2", "<f4", "<f8", "S5"]


@pytest.fixture(params=["isa-l", "zlib"], autouse=True)
def encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both makers of deflate streams."""
    if request.param == "zlib":
        monkeypatch.setattr(growing, "deflate", zlib.compress)
    else:
        pytest.importorskip("isal")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(KINDS),
    filters=st.sampled_from(FILTERS),
    row=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), max_size=2),
    rows=st.integers(1, 6),
    parts=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["", "write", "reopen"])), max_size=6),
)
def test_rows_are_read_back_as_they_were_appended(
    tmp_path: Path,
    kind: str,
    filters: dict[str, Any],
    row: list[tuple[int, int]],
    rows: int,
    parts: list[tuple[int, str]],
) -> None:
    """Any type, row and chunk shape, filters and cuts, the file closed in between or not: h5py reads what was given."""
    shape, chunk = tuple(n for n, _ in row), tuple(min(n, c) for n, c in row)
    rng, path = np.random.default_rng(0), tmp_path / "x.h5"
    whole = np.zeros((0, *shape), kind)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (0, *shape), kind, maxshape=(None, *shape), chunks=(rows, *chunk), **filters)
    file = h5py.File(path, "r+")
    column = Growing(file["x"])
    for count, then in parts:
        new = rng.integers(0, 2 if kind == "?" else 100, (count, *shape)).astype(kind)
        column.append(new)
        whole = np.concatenate([whole, new])
        if then:
            column.write()
        if then == "reopen":
            file.close()
            file = h5py.File(path, "r+")
            column = Growing(file["x"])
        assert len(column) == len(whole)
    assert column.read(len(whole) // 2).tobytes() == whole[len(whole) // 2 :].tobytes()
    file.close()
    with h5py.File(path, "r") as file:
        assert file["x"].dtype == whole.dtype
        assert file["x"][...].tobytes() == whole.tobytes()


def test_a_strangers_chunks_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Chunks as narrow and as long as no log of ours has them end in one line, not in gigabytes."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("x", (0, 1 << 20), "|u1", maxshape=(None, 1 << 20), chunks=(1 << 20, 1))
        with pytest.raises(InvalidValueError, match="bytes of a row of chunks of /x"):
            Growing(dataset)
