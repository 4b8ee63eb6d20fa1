"""search: the loop that every agent shares. It counts the budget, logs, reports, saves and resumes."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from eenn_agents import checkpoint as files
from eenn_agents.agent import Agent, Task
from eenn_agents.contract import agent_code, check_agent, checked_proposals
from eenn_agents.identity import differing, identity_of
from eenn_agents.ledger import Ledger
from eenn_agents.registry import agent_maker
from eenn_envs.core import Problem
from eenn_envs.layout import layout_for
from eenn_rl.episodes import NullRecorder, Recorder
from eenn_rl.errors import InputFileError
from eenn_rl.networks.loop import threads
from eenn_rl.progress import NullProgress, Progress
from eenn_rl.search import AgentSettings, SearchResult, Stopped

if TYPE_CHECKING:
    from eenn_rl.evaluator import Evaluator

SAVE_EVERY_S = 8.0
KEPT = 64
"""How many of the best architectures a result holds."""
IDLE_ROUNDS = 200
"""An agent that proposes nothing new this often in a row has nothing more to say."""


def search(
    agent: str,
    evaluator: "Evaluator",
    settings: AgentSettings,
    seed: int,
    recorder: Recorder | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> SearchResult:
    """Let `agent` spend ``settings.budget`` distinct evaluations; every one goes to `recorder` as an episode.

    With a `checkpoint` it is saved there every few seconds, between an agent's proposals; a file that exists is
    continued from, with the same result and log as without the interruption. (What a slow backend said of proposals
    under way is for the evaluator's backend to keep: see `eenn_rl.memo`.) It computes in one thread: its matrices are
    small, several threads would spend their time on waiting, many times as much beside other work, and sum in other
    orders. Raises `EennError` for an unknown agent or a foreign checkpoint.
    """
    recorder = NullRecorder() if recorder is None else recorder  # a log without episodes yet is falsy
    progress = progress or NullProgress()
    progress.phase("search", settings.budget)
    ledger = Ledger(Problem(evaluator, layout_for(evaluator.space)), settings.budget, recorder, seed)
    make = agent_maker(agent)  # and with it import all that it computes with
    # Of torch, whose MKL threadpoolctl does not see, and of whatever else there is.
    with threads(1), threadpool_limits(1):
        with agent_code(agent, "make(task)"):
            made = make(Task(evaluator, settings, seed, ledger))
        check_agent(agent, made)
        run = _Run(agent, made, ledger, settings, checkpoint, progress)
        run.resume()
        stopped = run.finish()
    early = run.early()
    if early:
        progress.note(early)
    return _result(ledger, stopped, early)


class _Run:
    def __init__(
        self, name: str, agent: Agent, ledger: Ledger, settings: AgentSettings, path: Path | None, progress: Progress
    ) -> None:
        self._name = name
        self._agent, self._ledger, self._path, self._progress = agent, ledger, path, progress
        self._identity = {} if path is None else identity_of(name, settings, ledger)
        self._patience = settings.patience
        self._saved = time.monotonic()
        self._idle, self._silent = 0, False

    def resume(self) -> None:
        if self._path is None or not self._path.exists():
            self._ledger.restore(self._ledger.state())
            return
        state = files.load(self._path)
        found = list(differing(state.get("identity"), self._identity))
        if found:
            raise InputFileError(
                f"{self._path}: expected the checkpoint of this search, found another's ({', '.join(found)}): use the "
                "same options, or another run folder"
            )
        self._ledger.restore(state["ledger"])
        with agent_code(self._name, "restore(state)"):
            self._agent.restore(state["agent"])
        self._idle = state.get("idle", 0)  # earlier checkpoints did not count on

    def finish(self) -> Stopped:
        space = self._ledger.evaluator.space
        size = space.size
        while self._ledger.left > 0 and len(self._ledger) < size and self._idle < IDLE_ROUNDS and not self._stale():
            before = len(self._ledger)
            with agent_code(self._name, "ask()"):
                proposed = self._agent.ask()
            genomes = checked_proposals(self._name, proposed, space)
            self._silent = not len(genomes)
            if self._silent:
                break
            rewards = self._ledger.evaluate(genomes)
            with agent_code(self._name, "tell(genomes, rewards)"):
                self._agent.tell(genomes, rewards)
            self._idle = 0 if len(self._ledger) > before else self._idle + 1
            self._report()
            if time.monotonic() - self._saved > SAVE_EVERY_S:
                self._save()
        self._ledger.finish()
        self._save()
        if self._ledger.left == 0:
            return "budget"
        return "stale" if self._stale() else "exhausted"

    def early(self) -> str:
        """How the agent ended the search before its budget and its space were at an end; empty where it did not."""
        ledger, size = self._ledger, self._ledger.evaluator.space.size
        if len(ledger) >= size or not (self._silent or self._idle >= IDLE_ROUNDS):
            return ""
        how = "nothing" if self._silent else f"nothing new {self._idle} times in a row"
        return f"agent {self._name} proposed {how}: stopped after {len(ledger):,} of {ledger.budget:,} evaluations"

    def _stale(self) -> bool:
        return self._patience is not None and self._ledger.stale >= self._patience

    def _save(self) -> None:
        self._saved = time.monotonic()
        if self._path is not None:
            with agent_code(self._name, "state()"):
                agent = self._agent.state()
            ledger = self._ledger.state()
            files.save(self._path, {"identity": self._identity, "ledger": ledger, "agent": agent, "idle": self._idle})

    def _report(self) -> None:
        best = self._ledger.best
        facts: dict[str, Any] = {"episodes": f"{len(self._ledger):,}"}
        if best is not None:
            share = 1.0 if self._ledger.evaluator.objective.minimise == "elp" else 0.5  # see `objective.score`
            saved = 1 - float(np.exp(-share * best[0]))
            facts |= {"best feasible saves": f"{saved:.1%}", "accuracy": f"{best[1]:.2%}"}
        self._progress.advance(len(self._ledger), **facts)


def _result(ledger: Ledger, stopped: Stopped, early: str) -> SearchResult:
    history = ledger.history()
    evaluator = ledger.evaluator
    best = tuple(evaluator.evaluate(evaluator.space.decode(history.genomes[row])) for row in history.ranked()[:KEPT])
    return SearchResult(best, history, stopped, early)
