"""What a long job says while it runs; how it is shown is the caller's business."""

from typing import Protocol


class Progress(Protocol):
    """Receives phases and steps of a long job."""

    def phase(self, name: str, total: float | None = None) -> None:
        """A new phase begins; `total` is what `advance` counts up to, None where unknown."""
        ...

    def advance(self, done: float, **facts: float | str) -> None:
        """`done` of the phase's total are finished; `facts` are what matters to a person now."""
        ...

    def note(self, text: str) -> None:
        """One line worth keeping."""
        ...


class NullProgress:
    """Shows nothing."""

    def phase(self, name: str, total: float | None = None) -> None:
        """Ignore."""

    def advance(self, done: float, **facts: float | str) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""
