"""Accuracy tables: one file, safe to read, that says what is wrong with it."""

import io
import json
import signal
import subprocess
import sys
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import measured_problem
from eenn_rl import tables as tables_module
from eenn_rl.config import RunConfig
from eenn_rl.errors import InputFileError, InvalidValueError
from eenn_rl.problem import given_tables
from eenn_rl.tables import AccuracyTables
from eenn_rl.zoo import make_backbone

ARRAYS = ("confidence", "correct", "row_location", "row_branch", "row_bits", "temperatures")


@pytest.fixture(scope="module")
def tables() -> AccuracyTables:
    return measured_problem.tables(make_backbone("resnet8", (1, 16, 16)), samples=203)


def rewritten(tables: AccuracyTables, **changes: Any) -> bytes:
    """The file with some arrays or parts of the meta data changed."""
    with np.load(io.BytesIO(tables.to_bytes())) as file:
        arrays = {name: file[name] for name in file.files}
    meta = json.loads(arrays["meta"].tobytes().decode()) | changes.pop("meta", {})
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    arrays = {name: array for name, array in (arrays | changes).items() if array is not None}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def test_a_file_gives_back_what_was_saved(tables: AccuracyTables, tmp_path: Path) -> None:
    """Every array and every fact survives, and so does the fingerprint."""
    full = replace(tables, notes="three\nlines\nhere", independent_samples=17, confidence_rule="margin")
    full.save(tmp_path / "tables.npz")
    found = AccuracyTables.load(tmp_path / "tables.npz")
    for name in ARRAYS:
        assert (getattr(found, name) == getattr(full, name)).all()
        assert getattr(found, name).dtype == getattr(full, name).dtype
    assert found.backbone == full.backbone
    assert (found.notes, found.images, found.confidence_rule) == (full.notes, 17, "margin")
    assert (found.branches, found.bits, found.dataset) == (full.branches, full.bits, full.dataset)
    assert found.fingerprint == full.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["tables.npz"]


def test_what_a_killed_process_left_is_gone_after_the_next_save(tables: AccuracyTables, tmp_path: Path) -> None:
    """Half a file lies beside the tables at most once, and never where they belong."""
    code = (
        "import os, signal, sys; from pathlib import Path; from eenn_rl.tables import AccuracyTables\n"
        "tables = AccuracyTables.load(sys.argv[1])\n"
        "write = lambda _, file: (file.write(b'half'), file.flush(), os.kill(os.getpid(), signal.SIGKILL))\n"
        "AccuracyTables._write = write\n"
        "tables.save(Path(sys.argv[2]))"
    )
    tables.save(tmp_path / "whole.npz")
    folder = tmp_path / "run"
    folder.mkdir()
    for _ in range(2):
        command = [sys.executable, "-c", code, str(tmp_path / "whole.npz"), str(folder / "tables.npz")]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert len(list(folder.iterdir())) == 1
    assert not (folder / "tables.npz").exists()
    tables.save(folder / "tables.npz")
    assert [path.name for path in folder.iterdir()] == ["tables.npz"]


def test_a_place_where_tables_cannot_lie_is_named(tables: AccuracyTables, tmp_path: Path) -> None:
    """Below a file there is none."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputFileError, match=r"file/x\.npz: tables cannot be written: Not a directory"):
        tables.save(tmp_path / "file" / "x.npz")


def test_the_fingerprint_is_of_the_content(tables: AccuracyTables) -> None:
    """Any change of an array or a fact changes the fingerprint; a copy does not."""
    correct = tables.correct.copy()
    correct[3, 7] = ~correct[3, 7]
    prints = {
        tables.fingerprint,
        replace(tables, correct=correct).fingerprint,
        replace(tables, dataset="other").fingerprint,
        replace(tables, temperatures=tables.temperatures * 2).fingerprint,
    }
    assert len(prints) == 4
    assert replace(tables, correct=tables.correct.copy()).fingerprint == tables.fingerprint
    assert len(tables.fingerprint) == 64


def test_tables_cannot_be_changed(tables: AccuracyTables) -> None:
    """Arrays are read-only: an estimate never alters what it rests on."""
    with pytest.raises(ValueError, match="read-only"):
        tables.confidence[0, 0] = 3


def test_what_a_caller_changes_later_changes_no_tables(tables: AccuracyTables) -> None:
    """Of arrays that can be written a copy is taken, contiguous or not; of others, as a file's, none."""
    mine = {name: getattr(tables, name).copy(order="F") for name in ARRAYS}
    made = replace(tables, **mine)
    for array in mine.values():
        array[...] = 0
    assert made.fingerprint == tables.fingerprint
    for name in ARRAYS:
        assert getattr(made, name).flags.c_contiguous
        assert getattr(replace(made), name) is getattr(made, name)


def test_loading_copies_nothing(tables: AccuracyTables) -> None:
    """What was read from a file is nobody else's: it is not held twice on the way."""
    data = replace(tables, confidence=np.tile(tables.confidence, 40), correct=np.tile(tables.correct, 40)).to_bytes()
    tracemalloc.start()
    found = AccuracyTables.from_bytes(data, "tables")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 3.5 * found.confidence.nbytes


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"confidence": np.full((276, 203), 9, np.int64)}, "confidence"),
        ({"confidence": None}, "confidence"),
        ({"correct": np.zeros((3, 4), np.uint8)}, "correct"),
        ({"row_bits": np.full((276, 4), 3, np.uint8)}, "row_bits"),
        ({"row_branch": np.full(276, 7, np.int16)}, "row_branch"),
        ({"row_location": np.full(276, 9, np.int16)}, "row_location"),
        ({"temperatures": np.full(276, np.nan, np.float32)}, "temperatures"),
        ({"temperatures": np.full(5, 1, np.float32)}, "temperatures"),
        ({"meta": {"format": "something else"}}, "something else"),
        ({"meta": {"confidence_rule": "guess"}}, "confidence_rule"),
        ({"meta": {"backbone": {"name": "x"}}}, "backbone"),
        ({"meta": {"independent_samples": 10**9}}, "independent_samples"),
        ({"row_location": np.array([object()] * 276)}, "expected accuracy tables"),
    ],
)
def test_a_file_with_a_wrong_part_is_refused(tables: AccuracyTables, changes: dict[str, Any], named: str) -> None:
    """The error is one line that names the file and the part; pickled objects are never loaded."""
    with pytest.raises(InputFileError) as caught:
        AccuracyTables.from_bytes(rewritten(tables, **changes), "some.npz")
    message = str(caught.value)
    assert message.startswith("some.npz: ")
    assert named in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 cut short", b"\x93NUMPY\x01\x00"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    """What is no .npz is refused in one line."""
    (tmp_path / "tables.npz").write_bytes(content)
    with pytest.raises(InputFileError, match="expected accuracy tables"):
        AccuracyTables.load(tmp_path / "tables.npz")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(tables: AccuracyTables, tmp_path: Path, share: float) -> None:
    """A copy that was interrupted is no table."""
    data = tables.to_bytes()
    (tmp_path / "tables.npz").write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputFileError, match="expected accuracy tables"):
        AccuracyTables.load(tmp_path / "tables.npz")


def test_flipped_bytes_never_crash(tables: AccuracyTables) -> None:
    """A damaged file is refused in one line, or still holds tables that pass every check."""
    data, rng = tables.to_bytes(), np.random.default_rng(0)
    refused = 0
    for at in rng.integers(0, len(data), 150).tolist():
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        try:
            AccuracyTables.from_bytes(bytes(damaged), "damaged")
        except InputFileError as error:
            refused += "\n" not in str(error)
    assert refused > 100


def test_a_file_that_would_fill_the_memory_is_refused(tables: AccuracyTables, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size that a file claims to unpack to is bounded before anything is unpacked."""
    monkeypatch.setattr(tables_module, "MAX_BYTES", 10_000)
    with pytest.raises(InputFileError, match="of at most 10000 bytes"):
        AccuracyTables.from_bytes(tables.to_bytes(), "bomb")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("confidence.npy", bytes(100_000))
    with pytest.raises(InputFileError, match="found 100000"):
        AccuracyTables.from_bytes(buffer.getvalue(), "bomb")


def test_a_description_without_end_is_refused(tables: AccuracyTables) -> None:
    """JSON that nests too deep is told in one line."""
    with np.load(io.BytesIO(tables.to_bytes())) as file:
        arrays = {**file, "meta": np.frombuffer(b"[" * 100_000, np.uint8)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with pytest.raises(InputFileError, match="meta: expected JSON"):
        AccuracyTables.from_bytes(buffer.getvalue(), "deep")


def test_missing_files_and_folders_are_named(tables: AccuracyTables, tmp_path: Path) -> None:
    """Reading what is not there, and writing where nothing can be, is one clear line."""
    with pytest.raises(InputFileError, match="found no file"):
        AccuracyTables.load(tmp_path / "nothing.npz")
    with pytest.raises(InputFileError, match="cannot be read"):
        AccuracyTables.load(tmp_path)
    with pytest.raises(InputFileError, match="cannot be written"):
        tables.save(tmp_path / "no" / "folder.npz")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"confidence": np.full((276, 203), 64, np.uint8)}, "levels below 64"),
        ({"correct": np.zeros((276, 203), np.uint8)}, "correct"),
        ({"confidence_rule": "guess"}, "confidence_rule"),
        ({"bits": (4, 8)}, "row_bits"),
        ({"branches": ("linear",)}, "row_branch"),
        ({"branches": ("linear", "dsconv", "linear")}, r"branches must be distinct, found \('linear',"),
        ({"bits": (2, 4, 8, 8)}, r"bits must be distinct, found \(2, 4, 8, 8\)"),
        ({"bits": (0, 2, 4, 8)}, r"bits must be at least 1, found \(0, 2,"),
        ({"bits": (-1, 2, 4, 8)}, "bits must be at least 1"),
        ({"confidence": [[1, 2], [3, 4]]}, "confidence must be a numpy array, found 'list'"),
        ({"temperatures": [1.0]}, "temperatures must be a numpy array, found 'list'"),
    ],
)
def test_tables_check_themselves(tables: AccuracyTables, changes: dict[str, Any], named: str) -> None:
    """Tables that contradict themselves cannot be made."""
    with pytest.raises(InvalidValueError, match=named):
        replace(tables, **changes)


def test_rows_are_distinct(tables: AccuracyTables) -> None:
    """One way to reach an exit has one row."""
    bits = tables.row_bits.copy()
    bits[1] = bits[0]
    branch = tables.row_branch.copy()
    branch[1] = branch[0]
    with pytest.raises(InvalidValueError, match="distinct"):
        replace(tables, row_bits=bits, row_branch=branch)


def test_another_confidence_rule_than_the_tables_own_is_refused(tables: AccuracyTables, tmp_path: Path) -> None:
    """Confidences in a file were measured by its rule: asking for another one is an error, not without effect."""
    tables = replace(tables, dataset="digits")
    margins = replace(tables, confidence_rule="margin")
    for name, table in (("softmax", tables), ("margin", margins)):
        table.save(tmp_path / f"{name}.npz")
    softmax, margin = str(tmp_path / "softmax.npz"), str(tmp_path / "margin.npz")
    assert given(RunConfig(tables=softmax)) == "max_softmax"
    assert given(RunConfig(tables=margin)) == "margin"  # nothing was asked for: the file's own
    assert given(RunConfig(tables=margin, confidence_rule="margin")) == "margin"
    for path in (softmax, "shipped"):
        with pytest.raises(InvalidValueError, match="--confidence-rule margin: expected max_softmax"):
            given_tables(RunConfig(tables=path, confidence_rule="margin"))


def given(config: RunConfig) -> str:
    found = given_tables(config)
    assert found is not None
    return found.confidence_rule


def test_the_name_of_shipped_tables_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`AccuracyTables.load("shipped")` says who loads those; any other missing file is a path to check."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputFileError, match=r"eenn_rl\.problem\.shipped_tables\(dataset, backbone\) loads"):
        AccuracyTables.load("shipped")
    with pytest.raises(InputFileError, match="found no file: check the path"):
        AccuracyTables.load("shiped")
