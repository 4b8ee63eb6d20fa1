"""JSON for the frozen dataclasses: `to_json`, `from_json`, and `read_json` for a user's file.

Validation is pydantic's, over the dataclasses' own checks: unknown keys are refused, and an error names the source, the
key and the value.
"""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from eenn_rl.errors import InputFileError

T = TypeVar("T")


def to_json(value: object) -> Any:
    """`value` (a dataclass, or containers of them) as plain JSON data: dicts, lists, strings, numbers."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")


def from_json(kind: type[T], data: Any, source: str) -> T:
    """A `kind` from plain JSON data; `source` says in an error where the data stands (a file, a key)."""
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        found = repr(first["input"])
        found = found if len(found) <= 80 else found[:77] + "..."
        message = first["msg"].removeprefix("Value error, ")
        raise InputFileError(f"{source}: {key}: {message} (found {found})") from None


def read_json(path: Path) -> Any:
    """The JSON in a user's file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputFileError(f"{path}: expected a JSON file, found none: check the path") from None
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputFileError(f"{path}: expected JSON, found something else: {error}") from None
