"""JSON for dataclasses: there and back, and errors that name the key."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from eenn_rl.backbone import Backbone
from eenn_rl.config import RunConfig
from eenn_rl.errors import InputFileError, check
from eenn_rl.hardware import AcceleratorSpec, load_accelerator
from eenn_rl.serialization import from_json, read_json, read_yaml, to_json
from eenn_rl.zoo import make_backbone


@dataclass(frozen=True)
class Part:
    size: int = 1


@dataclass(frozen=True)
class Whole:
    part: Part | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Checked:
    size: int = 1
    text: str = "a long one " * 20

    def __post_init__(self) -> None:
        check(self.size >= 1, "size", self.size, "at least 1")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Backbone, make_backbone("mobilenetv2")),
        (RunConfig, RunConfig()),
        (AcceleratorSpec, load_accelerator("quad_edge_tpu")),
    ],
)
def test_values_survive_the_way_to_json_and_back(kind: type, value: object) -> None:
    """What is written is what is read."""
    assert from_json(kind, to_json(value), "x") == value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"prat": {}}, "f: unknown key 'prat': did you mean part"),
        ({"part": {"siez": 2}}, "f: part: unknown key 'siez': did you mean size"),
        ({"parts": [{"size": 1}, {"sizes": 2}]}, r"f: parts\[1\]: unknown key 'sizes'"),
        ({"part": {"size": "big"}}, "f: part.size: .*found 'big'"),
    ],
)
def test_an_error_names_the_key(data: Any, message: str) -> None:
    """A key that no field has, at any depth, and a value of the wrong type are told with where they stand."""
    with pytest.raises(InputFileError, match=message):
        from_json(Whole, data, "f")


TENS = (f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in pairwise("abcdefghij"))
BILLIONS = "\n".join(["a: &a [x]", *TENS])
MERGES = (f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 10)}]}}" for a, b in pairwise("abcdefghijkl"))
MERGED = "\n".join(["a: &a {k: 1}", *MERGES])


@pytest.mark.parametrize("content", ["[" * 100_000, "9" * 5000, "{", "\udc80"], ids=["deep", "long", "cut", "bytes"])
@pytest.mark.parametrize("read", [read_json, read_yaml])
def test_what_cannot_be_parsed_is_one_line(read: Callable[[Path], Any], content: str, tmp_path: Path) -> None:
    """Brackets without end and endless numbers too."""
    path = tmp_path / "data"
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputFileError, match=r"data: expected (JSON|YAML), found something else: ") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: &a [*a]", "100 levels"),
        (BILLIONS, "more than 1,000,000 values"),
        (MERGED, "more than 10,000 keys merged"),
        ("a: 1\nb: {c: 2, d: 3, c: 4}", "the key 'c' twice"),
    ],
    ids=["circle", "billions", "merged", "repeated key"],
)
def test_yaml_that_nobody_means_is_one_line(content: str, reason: str, tmp_path: Path) -> None:
    """Aliases that stand for a circle or for billions of values are refused at once, and so is a repeated key."""
    path = tmp_path / "data.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputFileError, match=reason) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


def test_aliases_may_stand_for_what_was_written_once(tmp_path: Path) -> None:
    """Anchors, aliases and merged keys of ordinary files are read as YAML says."""
    path = tmp_path / "data.yaml"
    path.write_text("base: &base {x: 1, y: 2}\nmore: {<<: *base, y: 3}\nlist: [*base, *base]\n", encoding="utf-8")
    found = read_yaml(path)
    assert found == {"base": {"x": 1, "y": 2}, "more": {"x": 1, "y": 3}, "list": [{"x": 1, "y": 2}] * 2}
    path.write_text("a: &a {x: 1}\nb: &b {<<: *a, <<: *a, x: 2}\nc: {<<: [*a, *b], x: 3}\n", encoding="utf-8")
    assert read_yaml(path) == {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 3}}


def test_json_may_hold_what_a_program_wrote(tmp_path: Path) -> None:
    """A run's own results of a deep backbone have millions of values; JSON has no aliases that multiply them."""
    path = tmp_path / "search.json"
    path.write_text(json.dumps([0] * 1_000_001), encoding="utf-8")
    assert len(read_json(path)) == 1_000_001


def test_what_a_constructor_refuses_is_told_in_its_own_words() -> None:
    """They say what was found; nothing of the whole is repeated after them."""
    with pytest.raises(InputFileError) as caught:
        from_json(Checked, {"size": 0}, "f")
    assert str(caught.value) == "f: size must be at least 1, found 0"
