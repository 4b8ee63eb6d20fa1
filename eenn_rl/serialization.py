"""JSON for the frozen dataclasses: `to_json`, `from_json`, and `read_json` and `read_yaml` for a user's file.

Validation is pydantic's, over the dataclasses' own checks: unknown keys are refused, and an error names the source, the
key and the value.
"""

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from eenn_rl.errors import InputFileError, unknown_name

T = TypeVar("T")


def to_json(value: object) -> Any:
    """`value` (a dataclass, or containers of them) as plain JSON data: dicts, lists, strings, numbers."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")


def from_json(kind: type[T], data: Any, source: str) -> T:
    """A `kind` from plain JSON data; `source` says in an error where the data stands (a file, a key)."""
    _refuse_unknown(kind, data, source)
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = f"{source}: {key}" if key else source
        if first["type"] == "value_error":  # a constructor's own words, which say what was found
            raise InputFileError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
        found = repr(first["input"])
        found = found if len(found) <= 80 else found[:77] + "..."
        raise InputFileError(f"{where}: {first['msg']} (found {found})") from None


def _refuse_unknown(kind: Any, data: Any, where: str) -> None:
    """Raise for a key that no field has, anywhere below `data`: pydantic lets it pass for plain dataclasses."""
    if get_origin(kind) in (UnionType, Union):
        kind = next((part for part in get_args(kind) if is_dataclass(part)), kind)
    if is_dataclass(kind) and isinstance(data, dict):
        hints = get_type_hints(kind)
        known = {field.name: hints[field.name] for field in fields(kind)}
        for key, value in data.items():
            if key not in known:
                raise InputFileError(f"{where}: {unknown_name('key', key, known)}")
            _refuse_unknown(known[key], value, f"{where}: {key}")
    elif isinstance(data, list | tuple):
        for index, value in enumerate(data):
            _refuse_unknown(_item_kind(kind), value, f"{where}[{index}]")
    elif isinstance(data, dict):
        for key, value in data.items():
            _refuse_unknown(_item_kind(kind), value, f"{where}: {key}")


def _item_kind(kind: Any) -> Any:
    """What the items of a tuple, list or mapping are; of a union, those of its only container."""
    if get_origin(kind) in (UnionType, Union):
        kind = next((part for part in get_args(kind) if get_origin(part)), None)
    arguments = [part for part in get_args(kind) if part is not Ellipsis]
    return arguments[-1] if arguments else None


def read_json(path: Path) -> Any:
    """The JSON in a user's file."""
    return _read(path, "JSON", json.loads)


def read_yaml(path: Path) -> Any:
    """The YAML in a user's file; JSON is YAML. A key that stands twice is refused."""
    return _read(path, "YAML", lambda text: _check_extent(yaml.load(text, _Loader)))  # noqa: S506, a safe one


class _Loader(yaml.SafeLoader):
    """A safe loader, for which a repeated key is a mistake (the last would win silently), and merged keys are few."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping as it is written."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} twice", key.start_mark)
                seen.add((key.tag, key.value))
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put in place what a mapping merges (``<<``), unless that is more than anybody writes."""
        super().flatten_mapping(node)
        if len(node.value) > MOST_KEYS:
            raise yaml.constructor.ConstructorError(
                None, None, f"more than {MOST_KEYS:,} keys merged into one mapping", node.start_mark
            )


MOST_KEYS = 10_000
MOST_VALUES, MOST_LEVELS = 1_000_000, 100
"""Values in a user's file, and levels of nesting: a few aliases of YAML can stand for billions, or a circle."""


def _check_extent(data: Any) -> Any:
    """`data`, unless it holds more than anybody writes: `ValueError`; aliases count as what they stand for."""
    waiting, values = [(data, 0)], 0
    while waiting:
        value, level = waiting.pop()
        values += 1
        if values > MOST_VALUES or level > MOST_LEVELS:
            raise ValueError(f"more than {MOST_VALUES:,} values or {MOST_LEVELS} levels (aliases count in full)")
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            waiting.extend((item, level + 1) for item in inner)
    return data


def _read(path: Path, kind: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputFileError(f"{path}: expected a {kind} file, found none: check the path") from None
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputFileError(f"{path}: expected {kind}, found something else: {reason}") from None
