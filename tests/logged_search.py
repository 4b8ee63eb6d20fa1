"""A real search that reports each flush of its log, resuming what is there.

`python logged_search.py FOLDER BUDGET AGENT POLICY_SHARE`
"""

import sys
from collections.abc import Callable
from pathlib import Path

import eenn_agents.search as agents
from eenn_rl.replay import describe
from eenn_rl.search import AgentSettings
from eenn_rl.trajectory import TrajectoryWriter, writer
from logged_problem import make_evaluator


class Reporting(TrajectoryWriter):
    """Says how many episodes are saved whenever there are more."""

    report: Callable[[int], object] = staticmethod(lambda _saved: None)

    def flush(self) -> None:
        super().flush()
        self.report(self.saved)


def search(folder: Path, budget: int, agent: str = "evolution", policy_share: float = 0.05) -> None:
    evaluator, log = make_evaluator(), folder / "trajectories.h5"
    meta = describe(evaluator, "multicore", seeds={"seed": 5})
    made = Reporting.resume(log, meta) if log.exists() else Reporting.create(log, meta)
    with made as recorder:
        settings = AgentSettings(budget=budget, policy_share=policy_share)
        agents.search(agent, evaluator, settings, 5, recorder, None, folder / "search.pt")


def hurry() -> None:
    """Flushes and checkpoints come often, so that a search of seconds sees as many as one of minutes."""
    agents.SAVE_EVERY_S, writer.QUIET_S = 0.3, (0.02, 0.05)


if __name__ == "__main__":
    hurry()
    Reporting.report = staticmethod(lambda saved: sys.stdout.write(f"{saved}\n") and sys.stdout.flush())
    search(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
