"""How a long job looks: a live rich display on a terminal, a plain line now and then elsewhere; both on stderr.

Everything noted is also appended to the run's log file, so nothing said is lost.
"""

import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

STEP_SOON_S = 1.0
"""An interrupt waits for the next step if the last one is no longer ago than this."""
PLAIN_INTERVAL_S = 10.0
"""Seconds between two plain lines of the same phase."""


def _facts_text(facts: dict[str, float | str]) -> str:
    shown = (
        f"{key.replace('_', ' ')} {value if isinstance(value, str) else format(value, '.4g')}"
        for key, value in facts.items()
    )
    return ", ".join(shown)


def _left_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} left"


class _LogFile:
    """Timestamped lines, flushed one by one."""

    def __init__(self, path: Path | None) -> None:
        self._file: TextIO | None = path.open("a", encoding="utf-8") if path else None

    def write(self, text: str) -> None:
        if self._file:
            self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
            self._file.flush()

    def close(self) -> None:
        if self._file:
            self._file.close()


class Display:
    """Implements `eenn_rl.progress.Progress`; a context manager."""

    def __init__(self, log: Path | None = None, *, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._console = Console(file=self._stream)
        self._log = _LogFile(log)
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._name = ""
        self._total: float | None = None
        self._started = self._spoke = time.monotonic()
        self._facts: dict[str, float | str] = {}
        self._advanced = 0.0
        self._interrupted = False
        self._previous_handler: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous_handler = signal.signal(signal.SIGINT, self._interrupt)
        if self._console.is_terminal:
            self._bars = Bars(
                TextColumn("{task.description}", style="bold", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[facts]}", markup=False),  # of names that a user gave
                console=self._console,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous_handler is not None:
            signal.signal(signal.SIGINT, self._previous_handler)
        if error is None:
            self._finish_phase()
        if self._bars:
            self._bars.stop()
        self._log.close()

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """Ctrl-C: at the next step where steps come quickly, so that it strikes no half-done work; else at once."""
        if self._interrupted or time.monotonic() - self._advanced > STEP_SOON_S:
            raise KeyboardInterrupt
        self._interrupted = True

    def phase(self, name: str, total: float | None = None) -> None:
        """A new phase begins; the one before is complete."""
        self._finish_phase()
        self._name, self._total, self._facts = name, total, {}
        self._started = self._spoke = time.monotonic()
        self._log.write(f"phase: {name}")
        if self._bars:
            self._task = self._bars.add_task(name, total=total, facts="")
        else:
            self._plain(f"{name} ...")

    def advance(self, done: float, **facts: float | str) -> None:
        """`done` of the total are finished; raises `KeyboardInterrupt` where Ctrl-C was pressed since the last step."""
        self._advanced = time.monotonic()
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt
        self._facts |= facts
        text = _facts_text(self._facts)
        if self._bars and self._task is not None:
            self._bars.update(self._task, completed=done, facts=text)
        now = time.monotonic()
        if now - self._spoke >= PLAIN_INTERVAL_S:
            self._spoke = now
            line = f"{self._name}: " + ", ".join(filter(None, (*self._share(done, now), text)))
            self._log.write(line)
            if not self._bars:
                self._plain(line)

    def note(self, text: str) -> None:
        """One line worth keeping."""
        self._log.write(text)
        if self._bars:
            self._console.print(text, highlight=False, markup=False, emoji=False)
        else:
            self._plain(text)

    def _share(self, done: float, now: float) -> tuple[str, ...]:
        if not self._total or done <= 0:
            return ()
        left = (now - self._started) * (self._total - done) / done
        return (f"{min(100.0, 100 * done / self._total):.0f}%", _left_text(max(0.0, left)))

    def _finish_phase(self) -> None:
        if not self._name:
            return
        seconds = time.monotonic() - self._started
        line = f"{self._name}: done in {seconds:.1f} s" + (f", {_facts_text(self._facts)}" if self._facts else "")
        self._log.write(line)
        if self._bars and self._task is not None:
            total = self._total or 1
            self._bars.update(self._task, total=total, completed=total)
        else:
            self._plain(line)

    def _plain(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()
