"""What an agent must answer: one line that names it where it does not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from eenn_agents.registry import is_own
from eenn_rl.errors import AgentError, EennError, InvalidValueError, raised
from eenn_rl.space import Genomes, SearchSpace

METHODS = ("ask", "tell", "state", "restore")


def check_agent(name: str, agent: object) -> None:
    """Refuse what is no agent; `name` is what it was asked for by."""
    missing = [method for method in METHODS if not callable(getattr(agent, method, None))]
    if missing:
        raise InvalidValueError(
            f"agent {name!r}: make(task) must return an object with the methods {', '.join(METHODS)}, found "
            f"{told(agent)} without {', '.join(missing)}"
        )


def checked_proposals(name: str, proposed: Any, space: SearchSpace) -> Genomes:
    """What `ask()` of agent `name` returned, as genomes of `space`; refused where it is none."""
    shape = (space.max_exits, 5)
    found = proposed.shape if isinstance(proposed, np.ndarray) and proposed.dtype.kind in "iu" else ()
    if len(found) != 3 or found[1:] != shape:
        raise InvalidValueError(
            f"agent {name!r}: ask() must return genomes, an integer array [n, {shape[0]}, 5] as task.space.sample(rng, "
            f"n) makes them, n = 0 to end the search; found {told(proposed)}"
        )
    illegal = np.flatnonzero(~space.legal(proposed))
    if len(illegal):
        raise InvalidValueError(
            f"agent {name!r}: ask() must return legal genomes (task.space.legal), found {len(illegal)} of "
            f"{len(proposed)} illegal, the first {proposed[illegal[0]].tolist()}"
        )
    genomes: Genomes = proposed.astype(np.int16, copy=False)
    return genomes


@contextmanager
def agent_code(name: str, what: str) -> Iterator[None]:
    """Within, `what` of the agent `name` runs: a stranger's exceptions become one line that says where they arose."""
    try:
        yield
    except EennError:
        raise
    except (Exception, SystemExit) as error:
        if is_own(name):
            raise
        raise AgentError(f"agent {name!r}: {what} {raised(error)}") from error


def told(value: object) -> str:
    """What `value` is, in a few words for an error."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype.name} {list(value.shape)}"
    return f"a {type(value).__name__}"
