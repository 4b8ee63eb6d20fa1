"""Everything that leaves the package for a user's mistake.

The command line turns an `EennError` into one line on stderr and exit status 2; any other exception is a bug.
"""

import difflib
import errno
from collections.abc import Iterable

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


def unknown_name(what: str, found: object, known: Iterable[str], otherwise: str = "") -> InvalidValueError:
    """The error for a name that is not known, with the near misses offered, and `otherwise`, what else it may be."""
    names = sorted(known)
    near = difflib.get_close_matches(str(found), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
    return InvalidValueError(f"unknown {what} {str(found)!r}: {hint}{f' (or give {otherwise})' if otherwise else ''}")


def check(condition: bool, field: str, value: object, bound: str) -> None:
    """Raise `InvalidValueError` unless `condition` holds; `bound` says what was expected of `field`."""
    if not condition:
        raise InvalidValueError(f"{field} must be {bound}, found {value!r}")
