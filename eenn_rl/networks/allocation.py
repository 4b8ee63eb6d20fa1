"""Memory that a training keeps between its steps, on Linux with glibc.

glibc hands every block of more than a few megabytes back to the system when it is freed, and the next step pays for
fresh, zeroed pages: on a processor that took up to a third of a step with large feature maps
(benchmarks/training_speed.py).
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""Parameters of ``mallopt``: see ``malloc.h`` of glibc, and mallopt(3)."""
_ADAPTED, _MOST_BLOCKS = 32 << 20, 65536
"""Where glibc's own thresholds end up once large blocks have been freed, in bytes; its default number of mappings."""
_CHOSEN_BY_USER = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
_depth = 0


def _glibc() -> ctypes.CDLL | None:
    """The C library, where it is one with these settings and the user has chosen none."""
    if any(name.startswith(_CHOSEN_BY_USER) for name in os.environ):
        return None
    try:
        library = ctypes.CDLL("libc.so.6")
        library.gnu_get_libc_version, library.mallopt, library.malloc_trim  # noqa: B018 - looked up here
    except (OSError, AttributeError):
        return None
    return library


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within, freed memory stays with the process; afterwards it goes back. Results do not depend on it."""
    global _depth  # noqa: PLW0603 - the settings are the process's
    library = _glibc()
    if library is None:
        yield
        return
    _depth += 1
    try:
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, -1)
        yield
    finally:
        _depth -= 1
        if not _depth:
            library.mallopt(_MMAP_MAX, _MOST_BLOCKS)
            library.mallopt(_MMAP_THRESHOLD, _ADAPTED)
            library.mallopt(_TRIM_THRESHOLD, 2 * _ADAPTED)
            library.malloc_trim(0)
