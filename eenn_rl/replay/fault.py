"""What goes wrong while executing what a file describes is the file's fault."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eenn_rl.errors import EennError, InputFileError


@contextmanager
def executing(path: Path) -> Iterator[None]:
    """A stranger's file may describe anything: what then goes wrong within is the file's fault, told in one line."""
    try:
        yield
    except (ArithmeticError, LookupError, TypeError, ValueError, MemoryError, RecursionError) as error:
        if isinstance(error, EennError):
            raise
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise InputFileError(
            f"{path}: expected a log that can be executed, but what it describes fails ({detail}): use another copy"
        ) from error
