"""Everything that leaves the package for a user's mistake.

The command line turns an `EennError` into one line on stderr and exit status 2; any other exception is a bug.
"""

import difflib
import errno
import traceback
from collections.abc import Iterable
from pathlib import Path

FULL_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file size limit",
}
"""Reasons for an `OSError` that are the user's to mend, by its errno."""


PLACES = (
    errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP
)  # fmt: skip
"""Errnos of an `OSError` where a path that the user named cannot be used."""


TRACEBACK = "EENN_RL_TRACEBACK"
"""The environment variable that has the command line print tracebacks, for whoever writes what it runs."""


class EennError(Exception):
    """A mistake in what the user gave: the message says what was expected, what was found and what to do."""


class InvalidValueError(EennError, ValueError):
    """A value that breaks a stated bound; the message names the field, the value and the bound."""


class InputFileError(EennError):
    """A file that is missing, malformed, cut short or of another kind."""


class BackendError(EennError):
    """A hardware backend that cannot be loaded or breaks its contract; the message names the plugin."""


class AgentError(EennError):
    """An agent that raises; the message names it, what was asked of it and where it raised."""


class MissingDependencyError(EennError):
    """An optional package that a verb needs is not installed; the message names the extra to install."""


def not_installed(need: str, extra: str, otherwise: str = "") -> MissingDependencyError:
    """The error where `need` (who needs which package) is not met: how to get it, and `otherwise`, another way."""
    how = f"pip install 'eenn-rl[{extra}]' (in a checkout: '.[{extra}]')"
    return MissingDependencyError(f"{need}, which is not installed: {how}{otherwise}")


def unknown_name(what: str, found: object, known: Iterable[str], otherwise: str = "") -> InvalidValueError:
    """The error for a name that is not known, with the near misses offered, and `otherwise`, what else it may be."""
    names = sorted(known)
    near = difflib.get_close_matches(str(found), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
    return InvalidValueError(f"unknown {what} {str(found)!r}: {hint}{f' (or give {otherwise})' if otherwise else ''}")


def one_line(error: BaseException) -> str:
    """`error` as type and message on one line, cut at 300 characters."""
    text = " ".join(str(error).split())
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


def raised(error: BaseException) -> str:
    """What a stranger's code raised, with its file and line, as ``raised KeyError: 'x' (mine.py, line 3); ...``."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    # A syntax error names the place itself; what was at work when it arose was the import.
    place = "" if isinstance(error, SyntaxError) else f" ({Path(last.filename).name}, line {last.lineno})"
    return f"raised {one_line(error)}{place}; {TRACEBACK}=1 shows the way there"


def check(condition: bool, field: str, value: object, bound: str) -> None:
    """Raise `InvalidValueError` unless `condition` holds; `bound` says what was expected of `field`."""
    if not condition:
        raise InvalidValueError(f"{field} must be {bound}, found {value!r}")
