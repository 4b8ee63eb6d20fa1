"""What a verb of the command line is, and the values that options take."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

Arguments = argparse.Namespace
Parser = argparse.ArgumentParser


@dataclass(frozen=True)
class Verb:
    """A verb of the command line: its one-line help, its options and what it does."""

    help_text: str
    add_options: Callable[[Parser], None]
    run: Callable[[Arguments], int]


def positive(text: str) -> int:
    """An integer of at least 1."""
    return _at_least(1, text)


def natural(text: str) -> int:
    """An integer of at least 0."""
    return _at_least(0, text)


def shape(text: str) -> tuple[int, int, int]:
    """Channels, height and width, written C,H,W."""
    sizes = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if len(sizes) != 3 or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"expected C,H,W, three integers of at least 1, found {text!r}")
    return sizes[0], sizes[1], sizes[2]


def _at_least(bound: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = bound - 1
    if value < bound:
        raise argparse.ArgumentTypeError(f"expected an integer of at least {bound}, found {text!r}")
    return value
