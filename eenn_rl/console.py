"""The console that results are printed on."""

from rich.console import Console

WIDTH = 80
"""Characters that a table of results needs."""


class ResultConsole(Console):
    """Prints paths and names as they are: brackets in them are no markup, colons no emoji.

    In a narrow terminal lines wrap: columns of a table that were cut would lose a verdict.
    """

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, width=max(WIDTH, Console().width))

    def on_broken_pipe(self) -> None:
        """The reader went away: for the command line to end well, which rich would end with status 1."""
        raise BrokenPipeError
