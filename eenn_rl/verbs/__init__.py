"""The verbs of the command line: each one's options, and what it does. What is heavy is imported when a verb runs."""

from eenn_rl.verbs import of_agents, of_hardware, of_runs
from eenn_rl.verbs.verb import Verb

VERBS: dict[str, Verb] = of_runs.VERBS | of_agents.VERBS | of_hardware.VERBS
"""By name, in the order in which the help lists them."""

__all__ = ["VERBS", "Verb"]
