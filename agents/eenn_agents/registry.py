"""Agents by name: our own, and those of entry-point group `eenn_rl.agents`."""

from importlib import import_module, metadata

from eenn_agents.agent import AgentMaker
from eenn_rl.errors import EennError, InvalidValueError, unknown_name

GROUP = "eenn_rl.agents"
_OWN = {
    "ppo": "eenn_agents.ppo:make",
    "random": "eenn_agents.simple:make_random",
    "local": "eenn_agents.local:make",
    "evolution": "eenn_agents.evolution:make",
    "nsga2": "eenn_agents.nsga2:make",
    "exhaustive": "eenn_agents.simple:make_exhaustive",
}


def _installed() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=GROUP) if point.name not in _OWN}


def agent_names() -> tuple[str, ...]:
    """Every agent that `agent_maker` knows."""
    return (*_OWN, *sorted(_installed()))


def is_own(name: str) -> bool:
    """Whether `name` is one of ours."""
    return name in _OWN


def uses_no_policy(name: str) -> bool:
    """Whether `name` is one of ours that takes no notice of the setting `policy`; of others nobody knows."""
    return is_own(name) and name != "ppo"


def agent_maker(name: str) -> AgentMaker:
    """The function that makes agent `name`; raises `EennError` for an unknown or broken one."""
    if name in _OWN:
        module, _, attribute = _OWN[name].partition(":")
        own: AgentMaker = getattr(import_module(module), attribute)
        return own
    installed = _installed()
    if name not in installed:
        raise unknown_name("agent", name, agent_names())
    point = installed[name]
    try:
        maker: AgentMaker = point.load()
    except EennError:
        raise
    except Exception as error:
        raise InvalidValueError(f"agent {name!r} ({point.value}): cannot be loaded: {error}") from error
    if not callable(maker):
        raise InvalidValueError(f"agent {name!r} ({point.value}): expected a function make(task), found {maker!r}")
    return maker
