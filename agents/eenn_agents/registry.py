"""Agents by name: our own, and those of entry-point group `eenn_rl.agents`."""

import contextlib
import sys
from dataclasses import dataclass, replace
from importlib import import_module
from typing import cast

from eenn_agents.agent import AgentMaker
from eenn_rl import __version__
from eenn_rl.entry_points import InstalledPoint, claimed_too, installed_points
from eenn_rl.errors import EennError, InvalidValueError, one_line, unknown_name
from eenn_rl.plugins import OWN_DISTRIBUTION

GROUP = "eenn_rl.agents"
_OWN = {
    "ppo": "eenn_agents.ppo:make",
    "random": "eenn_agents.simple:make_random",
    "local": "eenn_agents.local:make",
    "evolution": "eenn_agents.evolution:make",
    "nsga2": "eenn_agents.nsga2:make",
    "exhaustive": "eenn_agents.simple:make_exhaustive",
}


@dataclass(frozen=True)
class AgentRecord:
    """One agent, as `eenn-rl agents` shows it.

    `origin` is the entry point's value; `problem` is one line, None for an agent that can be imported.
    """

    name: str
    distribution: str
    version: str
    origin: str
    problem: str | None = None

    def __str__(self) -> str:
        return f"agent {self.name!r} ({self.distribution} {self.version}, {self.origin})"


def _own_point(name: str, origin: str) -> InstalledPoint:
    module, _, attribute = origin.partition(":")
    return InstalledPoint(
        name, OWN_DISTRIBUTION, __version__, origin, lambda: getattr(import_module(module), attribute)
    )


def _points() -> list[InstalledPoint]:
    """Every agent, ours first; nothing imported."""
    return [*(_own_point(name, origin) for name, origin in _OWN.items()), *installed_points(GROUP)]


def _record(point: InstalledPoint) -> AgentRecord:
    return AgentRecord(point.name, point.distribution, point.version, point.origin, point.problem)


def _same_name_problem(point: InstalledPoint, others: list[InstalledPoint]) -> str | None:
    """Why the name is ambiguous: everybody else who claims it."""
    rivals = (_record(other) for other in others if other is not point and other.name == point.name)
    remedy = "uninstall the other" if is_own(point.name) else "uninstall one"
    return claimed_too(rivals, f"{remedy}, or give it another name")


def agent_names() -> tuple[str, ...]:
    """Every agent that `agent_maker` knows."""
    return tuple(dict.fromkeys(point.name for point in _points() if not point.problem))


def is_own(name: str) -> bool:
    """Whether `name` is one of ours."""
    return name in _OWN


def uses_no_policy(name: str) -> bool:
    """Whether `name` is one of ours that takes no notice of the setting `policy`; of others nobody knows."""
    return is_own(name) and name != "ppo"


def agent_maker(name: str) -> AgentMaker:
    """The function that makes agent `name`; raises `EennError` for an unknown, ambiguous or broken one."""
    everyone = [point for point in _points() if not point.problem]
    matches = [point for point in everyone if point.name == name]
    if not matches:
        raise unknown_name("agent", name, agent_names())
    problem = _same_name_problem(matches[0], matches)
    if problem:
        raise InvalidValueError(f"{_record(matches[0])}: {problem}")
    return _loaded(matches[0])


def _loaded(point: InstalledPoint) -> AgentMaker:
    """What the entry point names; a stranger's exceptions become one line, and what it prints goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            maker = point.load()
    except (EennError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit at import is a mistake like any other
        if is_own(point.name):
            raise
        raise InvalidValueError(f"{_record(point)}: cannot be imported: {one_line(error)}") from error
    if not callable(maker):
        raise InvalidValueError(f"{_record(point)}: expected a function make(task), found {maker!r}")
    return cast(AgentMaker, maker)


def list_agents() -> tuple[AgentRecord, ...]:
    """Every agent, each one imported; those that cannot be used carry the reason."""
    everyone = _points()
    return tuple(_tried(point, everyone) for point in everyone)


def _tried(point: InstalledPoint, everyone: list[InstalledPoint]) -> AgentRecord:
    record = _record(point)
    problem = point.problem or _same_name_problem(point, everyone)
    if problem:
        return replace(record, problem=problem)
    try:
        _loaded(point)
    except EennError as error:
        return replace(record, problem=" ".join(str(error).split()).removeprefix(f"{record}: "))
    except Exception as error:  # noqa: BLE001  one of ours, whose libraries are damaged: the others are still listed
        return replace(record, problem=f"cannot be imported: {one_line(error)}")
    return record
