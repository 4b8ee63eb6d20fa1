"""Options declared once: a dataclass field with `option(...)` is a setting, its default, its help and its flag.

A dataclass of options may hold others (groups). `add_options` turns it into argparse flags, `given` collects what the
user typed, `merge` lays that over a stored configuration.
"""

import argparse
import types
import typing
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from types import MappingProxyType
from typing import Any, Literal

from eenn_rl.errors import unknown_name


def option(default: Any, help_text: str, *, flag: str | None = None, metavar: str | None = None) -> Any:
    """A dataclass field that is also a command-line option `flag` (by default its name, with dashes)."""
    return field(default=default, metadata={"help": help_text, "flag": flag, "metavar": metavar})


def group(kind: type, prefix: str = "") -> Any:
    """A dataclass field that holds the options of `kind`, their flags beginning with ``--<prefix>-``."""
    return field(default_factory=kind, metadata={"prefix": prefix})


@dataclass(frozen=True)
class _Setting:
    path: tuple[str, ...]
    flag: str
    kind: Any
    default: Any
    help_text: str
    metavar: str | None

    @property
    def dest(self) -> str:
        return ".".join(self.path)


def settings_of(kind: type, path: tuple[str, ...] = (), prefix: str = "") -> Iterator[_Setting]:
    """Every setting of the dataclass `kind`, its groups' included."""
    hints = typing.get_type_hints(kind)
    for item in fields(kind):
        hint = hints[item.name]
        if is_dataclass(hint) and isinstance(hint, type):
            yield from settings_of(hint, (*path, item.name), item.metadata.get("prefix", ""))
        elif "help" in item.metadata:
            name = f"{prefix}_{item.name}" if prefix else item.name
            flag = item.metadata["flag"] or "--" + name.replace("_", "-")
            yield _Setting(
                (*path, item.name), flag, hint, item.default, item.metadata["help"], item.metadata["metavar"]
            )


def _choice(what: str, known: tuple[str, ...]) -> Any:
    def parse(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(str(unknown_name(what, text, known)))
        return text

    return parse


def _number(kind: type[int] | type[float]) -> Any:
    def parse(text: str) -> int | float:
        try:
            return kind(text)
        except ValueError:
            expected = "an integer" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}") from None

    return parse


def _sequence(item: Any) -> Any:
    def parse(text: str) -> tuple[Any, ...]:
        return tuple(item(part.strip()) for part in text.split(",") if part.strip())

    return parse


def _optional(item: Any) -> Any:
    def parse(text: str) -> Any:
        return None if text.lower() == "none" else item(text)

    return parse


def _parser_of(setting: _Setting, hint: Any) -> Any:
    """The function that turns the text of a flag into a value of type `hint`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return _choice(setting.flag, tuple(str(name) for name in arguments))
    if origin is tuple:
        return _sequence(_parser_of(setting, arguments[0]))
    if origin in (types.UnionType, typing.Union):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _optional(_parser_of(setting, inner))
    return _number(hint) if hint in (int, float) else str


def _shown(value: Any) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, tuple) else str(value)


def _metavar(hint: Any) -> str:
    """What stands for a value of type `hint` in the help."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return "A,B,..."
    if origin is Literal:
        return "|".join(arguments)
    (inner,) = (item for item in arguments or (hint,) if item is not type(None))
    return {int: "N", str: "S"}.get(inner, "X")


def add_options(
    parser: argparse.ArgumentParser,
    kind: type,
    only: Container[str] | None = None,
    help_texts: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """One flag per setting of `kind`; what is not typed does not appear in the namespace.

    `only` names the fields to take (whole groups by the group's name, one of a group as ``group.field``); by default
    all. `help_texts` replace the help of fields by name, default and all, where a verb means something of its own by
    them.
    """
    for setting in settings_of(kind):
        if only is not None and setting.path[0] not in only and setting.dest not in only:
            continue
        described = f"{setting.help_text} (default: {_shown(setting.default)})"
        text = help_texts.get(setting.dest, described).replace("%", "%%")
        if setting.kind is bool:
            parser.add_argument(
                setting.flag,
                dest=setting.dest,
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=text,
            )
            continue
        parser.add_argument(
            setting.flag,
            dest=setting.dest,
            type=_parser_of(setting, setting.kind),
            default=argparse.SUPPRESS,
            metavar=setting.metavar or _metavar(setting.kind),
            help=text,
        )


def given(namespace: argparse.Namespace, kind: type) -> dict[str, Any]:
    """What the user typed, as nested plain data in the form of `kind`."""
    data: dict[str, Any] = {}
    for setting in settings_of(kind):
        if hasattr(namespace, setting.dest):
            place = data
            for group in setting.path[:-1]:
                place = place.setdefault(group, {})
            place[setting.path[-1]] = getattr(namespace, setting.dest)
    return data


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` laid on top, group by group."""
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        merged[key] = merge(known, value) if isinstance(value, dict) and isinstance(known, dict) else value
    return merged
