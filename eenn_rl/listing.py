"""A list for a person: columns, and below a line the reason where something is wrong with what it names."""

from collections.abc import Sequence


def listing(header: Sequence[str], rows: Sequence[Sequence[str]], reasons: Sequence[str | None]) -> list[str]:
    """`header` and `rows` as lines whose columns line up; each of `reasons` stands, indented, under its row."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [_line(header, widths)]
    for row, reason in zip(rows, reasons, strict=True):
        lines.append(_line(row, widths))
        if reason:
            lines.append(f"    {reason}")
    return lines


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
