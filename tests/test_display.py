"""How progress looks where there is no terminal."""

import io
import signal
from pathlib import Path

import pytest

import eenn_rl.display
from eenn_rl.display import Display


def test_without_a_terminal_there_are_plain_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Phases, progress with the time left, and notes are plain lines on the stream, and stand in the log file too."""
    monkeypatch.setattr(eenn_rl.display, "PLAIN_INTERVAL_S", 0.0)
    stream = io.StringIO()
    with Display(tmp_path / "run.log", stream=stream) as display:
        display.phase("search", 100)
        display.advance(50, episodes=64, best_ELP_reduction="61%")
        display.note("a constraint was missed")
        display.phase("verify")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "search ..."
    assert lines[1].startswith("search: 50%, 0:00 left, episodes 64, best ELP reduction 61%")
    assert "a constraint was missed" in lines
    assert "\x1b" not in stream.getvalue()
    assert "best ELP reduction 61%" in (tmp_path / "run.log").read_text()


def test_lines_come_only_now_and_then() -> None:
    """A thousand steps within the interval add no line."""
    stream = io.StringIO()
    with Display(stream=stream) as display:
        display.phase("search", 1000)
        for step in range(1000):
            display.advance(step)
    first, last = stream.getvalue().splitlines()
    assert first == "search ..."
    assert last.startswith("search: done in")


def test_an_interrupt_waits_for_the_next_step() -> None:
    """Ctrl-C between two quick steps is raised by the next one, and a second Ctrl-C at once."""
    with Display(stream=io.StringIO()) as display:
        display.phase("search", 10)
        display.advance(1)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            display.advance(2)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
