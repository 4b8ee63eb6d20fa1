"""What `eenn-rl backends` prints: every installed backend, where it comes from, and why it cannot be used."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from eenn_rl.hookspecs import API_VERSION
from eenn_rl.plugins import OLDEST_API_VERSION, BackendRecord, list_backends


def backends_data(records: Sequence[BackendRecord] | None = None) -> list[dict[str, Any]]:
    """One object per installed backend, for a program: the fields of `BackendRecord`, and `usable`."""
    found = list_backends() if records is None else records
    return [{**asdict(record), "usable": record.problem is None} for record in found]


def backends_text(records: Sequence[BackendRecord] | None = None) -> str:
    """One line per installed backend, for a person; the reason under one that cannot be used."""
    found = list_backends() if records is None else records
    rows = [("NAME", "STATE", "DISTRIBUTION", "ORIGIN", "DEFAULT ACCELERATOR"), *map(_row, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    out = [lines[0]]
    for record, line in zip(found, lines[1:], strict=True):
        out.append(line)
        if record.problem or record.declined:
            out.append(f"    {record.problem or record.declined}")
    versions = f"{OLDEST_API_VERSION} to {API_VERSION}" if OLDEST_API_VERSION < API_VERSION else str(API_VERSION)
    out.append(f"\n{sum(r.problem is None for r in found)} of {len(found)} usable; api_version served: {versions}")
    return "\n".join(out)


def _state(record: BackendRecord) -> str:
    if record.problem:
        return "incomplete" if record.incomplete else "broken"
    return "declines" if record.declined else "ok"


def _row(record: BackendRecord) -> tuple[str, ...]:
    return (
        record.name,
        _state(record),
        f"{record.distribution} {record.version}",
        record.origin,
        record.accelerator or "-",
    )
