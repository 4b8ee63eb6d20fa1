"""What is installed in a group of entry points: nothing is imported, and no damaged distribution hides the others."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata

from eenn_rl.errors import one_line


@dataclass(frozen=True)
class InstalledPoint:
    """An entry point with the distribution that brings it.

    `origin` is its value (module, or module:object); `problem` says in one line why the distribution's entry points
    cannot be read, and then `name` is "?".
    """

    name: str
    distribution: str
    version: str
    origin: str
    load: Callable[[], object]
    problem: str | None = None


def installed_points(group: str) -> list[InstalledPoint]:
    """Every entry point of `group`; sorted by name, then distribution."""
    found = [point for name, distribution in _distributions() for point in _points(group, name, distribution)]
    return sorted(found, key=lambda point: (point.name, point.distribution))


def claimed_too(rivals: Iterable[object], remedy: str = "uninstall one") -> str | None:
    """What is wrong with a name that `rivals` claim as well, in one line; None where there are none."""
    named = ", ".join(map(str, rivals))
    return f"the name is also claimed by {named}: {remedy}" if named else None


def _quietly(read: Callable[[], str | None]) -> str:
    """What `read` says of a stranger's distribution; nothing where its files are damaged."""
    try:
        return read() or ""
    except Exception:  # noqa: BLE001  whatever a damaged file makes of the reader
        return ""


def _distributions() -> Iterator[tuple[str, metadata.Distribution]]:
    """Each installed distribution with its name; of several with one name, only the first on the path is importable."""
    seen: set[str] = set()
    for distribution in metadata.distributions():
        name = _quietly(lambda d=distribution: d.metadata["Name"])  # type: ignore[misc]
        key = re.sub(r"[-_.]+", "-", name).lower()
        if not name or key not in seen:
            seen.add(key)
            yield name or f"unnamed distribution in {distribution.locate_file('')}", distribution


def _points(group: str, name: str, distribution: metadata.Distribution) -> list[InstalledPoint]:
    """The entry points of `group` in one distribution; one that says why, where they cannot be read."""
    version = _quietly(lambda: distribution.version) or "of unknown version"
    try:
        points = [point for point in distribution.entry_points if point.group == group]
    except Exception as error:  # noqa: BLE001  a stranger's malformed entry_points.txt must not stop ours
        if f"[{group}]" not in _quietly(lambda: distribution.read_text("entry_points.txt")):
            return []
        problem = f"its entry_points.txt cannot be read: {one_line(error)}"
        return [InstalledPoint("?", name, version, "entry_points.txt", lambda: None, problem)]
    return [InstalledPoint(point.name, name, version, point.value, point.load) for point in points]
