"""What `eenn-rl backends` prints: every installed backend, where it comes from, and why it cannot be used."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from eenn_rl.listing import listing
from eenn_rl.plugins import BackendRecord, list_backends, served_versions


def backends_data(records: Sequence[BackendRecord] | None = None) -> list[dict[str, Any]]:
    """One object per installed backend, for a program: the fields of `BackendRecord`, and `usable`."""
    found = list_backends() if records is None else records
    return [{**asdict(record), "usable": record.problem is None} for record in found]


def backends_text(records: Sequence[BackendRecord] | None = None) -> str:
    """One line per installed backend, for a person; the reason under one that cannot be used."""
    found = list_backends() if records is None else records
    header = ("NAME", "STATE", "DISTRIBUTION", "ORIGIN", "DEFAULT ACCELERATOR")
    out = listing(header, [_row(record) for record in found], [record.problem or record.declined for record in found])
    usable = sum(record.problem is None for record in found)
    out.append(f"\n{usable} of {len(found)} usable; api_version served: {served_versions()}")
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
