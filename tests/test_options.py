"""Options declared once: flags, defaults, what was typed, and the stored configuration."""

import argparse
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from eenn_rl.cli import main
from eenn_rl.config import RunConfig, make_config
from eenn_rl.errors import InvalidValueError
from eenn_rl.options import add_options, given, group, merge, option, settings_of
from eenn_rl.serialization import to_json


@dataclass(frozen=True)
class Inner:
    rate: float = option(0.5, "the rate")
    sizes: tuple[int, ...] = option((1, 2), "the sizes")


@dataclass(frozen=True)
class Outer:
    name: str = option("x", "the name")
    mode: Literal["fast", "slow"] = option("fast", "the mode", flag="--how")
    limit: float | None = option(None, "the limit")
    loud: bool = option(False, "whether to shout")
    inner: Inner = group(Inner, "inner")


def parse(*words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, Outer)
    return given(parser.parse_args(words), Outer)


def test_every_field_is_one_flag() -> None:
    """A field's flag is its name with dashes, behind its group's prefix, unless it names another."""
    assert [setting.flag for setting in settings_of(Outer)] == [
        "--name", "--how", "--limit", "--loud", "--inner-rate", "--inner-sizes",
    ]  # fmt: skip


def test_the_help_says_what_a_value_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Optional numbers look like numbers, files like files; a verb may tell its own default."""
    for verb, expected in (
        ("train", ("--policy FILE|NAME", "--tensorboard DIR", "--patience N", "--deadline X", "--max-exits N")),
        ("pretrain", ("--policy FILE|NAME", "--stop-after N", "(default: those that are shipped for --dataset and")),
        ("propose", ("(default: those that are shipped for --dataset and --backbone)",)),
        ("compare", ("(default: those that are shipped for --dataset and --backbone)",)),
    ):
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        shown = " ".join(capsys.readouterr().out.split())
        assert all(text in shown for text in expected)


def test_only_what_was_typed_is_given() -> None:
    """Defaults do not count as typed, so that a stored configuration can hold them."""
    assert parse() == {}
    assert parse("--name", "y", "--inner-rate", "0.25") == {"name": "y", "inner": {"rate": 0.25}}


def test_values_take_the_type_of_their_field() -> None:
    """Sequences, optional numbers, choices and switches are read as their annotations say."""
    typed = parse("--inner-sizes", "4,8", "--limit", "0.1", "--how", "slow", "--loud")
    assert typed == {"inner": {"sizes": (4, 8)}, "limit": 0.1, "mode": "slow", "loud": True}
    assert parse("--limit", "none") == {"limit": None}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--how", "slwo"), "unknown --how 'slwo': did you mean slow"),
        (("--inner-rate", "much"), "expected a number, found 'much'"),
        (("--inner-sizes", "4,x"), "expected an integer, found 'x'"),
    ],
)
def test_a_bad_value_names_what_was_expected(words: tuple[str, ...], message: str) -> None:
    """A value of the wrong kind is refused with what was expected and what was found."""
    with pytest.raises(argparse.ArgumentError, match=message):
        parse(*words)


def test_typed_values_lie_over_stored_ones_group_by_group() -> None:
    """What the user types wins; the rest of the group stays as stored."""
    assert merge({"a": 1, "g": {"x": 1, "y": 2}}, {"g": {"y": 3}}) == {"a": 1, "g": {"x": 1, "y": 3}}


@pytest.mark.parametrize("word", ["none", "inf"])
def test_a_backend_may_take_as_long_as_it_likes(word: str) -> None:
    """No limit, however it is spelt, is one configuration, which JSON can hold; what is no limit at all is refused."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, RunConfig)
    typed = given(parser.parse_args(["--backend-limit", word]), RunConfig)
    stored = json.loads(json.dumps(to_json(make_config(typed)), allow_nan=False))
    assert stored["backend_limit_s"] is None
    assert make_config({}, stored) == RunConfig(backend_limit_s=None)
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(InvalidValueError, match="backend_limit must be more than 0, or none, found"):
            RunConfig(backend_limit_s=wrong)


@pytest.mark.parametrize("value", ["latency", {"minimise": "latency"}, None])
@pytest.mark.parametrize("group", ["objective", "search", "supernet", "training"])
def test_groups_of_settings_are_of_their_type(group: str, value: Any) -> None:
    """Anything else is refused when a configuration is made, by the type that it wants."""
    with pytest.raises(InvalidValueError, match=rf"^{group} must be of type eenn_rl\.\S+, found "):
        RunConfig(**{group: value})
