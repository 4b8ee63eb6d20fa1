"""What `eenn-rl agents` prints: every agent, where it comes from, and why it cannot be used."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from eenn_agents.registry import AgentRecord, list_agents
from eenn_rl.listing import listing


def agents_data(records: Sequence[AgentRecord] | None = None) -> list[dict[str, Any]]:
    """One object per agent, for a program: the fields of `AgentRecord`, and `usable`."""
    found = list_agents() if records is None else records
    return [{**asdict(record), "usable": record.problem is None} for record in found]


def agents_text(records: Sequence[AgentRecord] | None = None) -> str:
    """One line per agent, for a person; the reason under one that cannot be used."""
    found = list_agents() if records is None else records
    lines = listing(("NAME", "STATE", "DISTRIBUTION", "ORIGIN"), [_row(x) for x in found], [x.problem for x in found])
    usable = sum(record.problem is None for record in found)
    return "\n".join([*lines, f"\n{usable} of {len(found)} usable, as far as importing them tells"])


def _row(record: AgentRecord) -> tuple[str, ...]:
    state = "broken" if record.problem else "ok"
    return (record.name, state, f"{record.distribution} {record.version}", record.origin)
