"""The report of a run: one self-contained HTML file, or its figures one by one. See docs/report.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from eenn_rl.errors import InvalidValueError, check
from eenn_rl.report.figures import write_figures
from eenn_rl.report.gathered import gather
from eenn_rl.report.page import MARKER, page
from eenn_rl.whole import whole

Format = Literal["html", "png", "svg"]
FORMATS: tuple[Format, ...] = ("html", "png", "svg")


def write_report(runs: Sequence[Path], output: Path | None = None, format_: Format = "html") -> Path:
    """Report on one run, or on several side by side, each its folder or its log alone; returns what was written.

    `html`: one file, by default ``report.html`` in the (first) run's folder. `png`, `svg`: a folder of figures, by
    default ``figures`` in the run's folder, of one run. Of a log alone both lie beside it, and begin with its name.
    What exists is replaced only if a report or figures of it.
    """
    check(len(runs) >= 1, "runs", len(runs), "at least one run folder")
    check(format_ in FORMATS, "format", format_, "one of " + ", ".join(FORMATS))
    check(format_ == "html" or len(runs) == 1, "runs", len(runs), f"one, for --format {format_}")
    target = output or _default_target(runs[0], "report.html" if format_ == "html" else "figures")
    _check_target(target, format_)
    found = [gather(run) for run in runs]
    try:
        if format_ == "html":
            _write(target, page(found))
        else:
            write_figures(found[0], target, format_)
    except OSError as error:
        raise InvalidValueError(f"{target} cannot be written ({error.strerror}): choose another --output") from None
    return target


def _default_target(run: Path, name: str) -> Path:
    return run.with_name(f"{run.stem}-{name}") if run.is_file() else run / name


def _write(target: Path, content: str) -> None:
    """Write so that a reader never sees half a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole(target) as unfinished:
        unfinished.write_text(content, encoding="utf-8")


ENDINGS = ("", ".html", ".htm")
"""Of the page's file name; one without an ending is a page too."""
FOREIGN = (".html", ".htm", ".png", ".svg", ".pdf")
"""Endings of files, not of a folder of figures."""


def _check_target(target: Path, format_: Format) -> None:
    """Nothing of the user's is overwritten, and the name promises what is written."""
    ending = target.suffix.lower()
    if format_ == "html" and ending not in ENDINGS:
        figures = f", or choose --format {ending[1:]}, which writes a folder" if ending[1:] in FORMATS else ""
        raise InvalidValueError(
            f"--output {target}: expected a name that ends in .html, found {ending}: change it{figures}"
        )
    if format_ != "html" and not target.is_dir() and ending in FOREIGN:
        raise InvalidValueError(
            f"--output {target}: expected a folder for --format {format_}, found the name of a file: choose another"
        )
    if not target.exists():
        return
    if format_ == "html":
        if not (target.is_file() and _is_report(target)):
            raise InvalidValueError(f"{target} exists and is no report: choose another --output")
    elif not target.is_dir() or any(path.suffix not in (".png", ".svg") for path in target.iterdir()):
        raise InvalidValueError(f"{target} exists and is no folder of figures: choose another --output")


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return MARKER.encode() in file.read(200)


__all__ = ["FORMATS", "Format", "write_report"]
