"""`eenn-rl compare`: agents side by side on one problem, over seeds; resumable, in parallel.

Each (agent, seed) is a search of its own in a fresh evaluator and leaves one JSON file in the folder; what is there is
not searched again. The summary is made from all these files.
"""

import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import product
from math import isfinite
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from eenn_rl.compared import Compared, check_content, check_place, claim, content_of
from eenn_rl.comparison import Cell, Row, best_known, ended_early, hypervolume, improvements, summarise, table
from eenn_rl.config import RunConfig
from eenn_rl.errors import EennError, InputFileError, InvalidValueError, check
from eenn_rl.evaluator import Evaluator
from eenn_rl.options import option
from eenn_rl.places import check_folder, held
from eenn_rl.problem import make_evaluator
from eenn_rl.progress import NullProgress, Progress
from eenn_rl.run_folder import write_json
from eenn_rl.search import AgentSettings
from eenn_rl.serialization import from_json, read_json, to_json
from eenn_rl.space import SearchSpace
from eenn_rl.tables import AccuracyTables

MOST_SEEDS = 10_000


@dataclass(frozen=True)
class CompareSettings:
    """Who is compared, and how far."""

    agents: tuple[str, ...] = option(("ppo", "local", "evolution", "random"), "agents to compare")
    budgets: tuple[int, ...] = option(
        (300, 1000, 3000), "evaluations at which rewards are read; the most ends a search"
    )
    seeds: int = option(10, "searches per agent")
    workers: int = option(2, "searches at a time; the results do not depend on it")

    def __post_init__(self) -> None:
        check(len(self.agents) >= 1, "agents", self.agents, "at least one")
        check(len(set(self.agents)) == len(self.agents), "agents", self.agents, "distinct")
        check(len(self.budgets) >= 1 and min(self.budgets) >= 1, "budgets", self.budgets, "numbers of at least 1")
        check(1 <= self.seeds <= MOST_SEEDS, "seeds", self.seeds, f"between 1 and {MOST_SEEDS}")
        check(self.workers >= 1, "workers", self.workers, "at least 1")


@dataclass(frozen=True)
class Comparison:
    """A finished comparison, of all cells in its folder: those asked for, and then those of before.

    `best_known` is the best feasible reward anyone found, or the true optimum if given. It is None where nobody found
    anything feasible. `policies` says which policy each agent began with: `shipped`, `untrained` or a file; None for an
    agent without.
    """

    best_known: float | None
    space_size: int
    policies: dict[str, str | None]
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]

    def __str__(self) -> str:
        best = "none feasible" if self.best_known is None else f"{self.best_known:.4f}"
        head = f"best known reward {best}; {self.space_size:,} architectures; median (quartiles) over seeds"
        begun = ", ".join(f"{agent} {policy or 'none'}" for agent, policy in self.policies.items())
        return "\n".join([head, f"policies at the start: {begun}", table(self.rows), *ended_early(self.cells)])


def compare(
    config: RunConfig,
    tables: AccuracyTables,
    out: Path,
    settings: CompareSettings | None = None,
    progress: Progress | None = None,
    optimum: float | None = None,
) -> Comparison:
    """Search with every agent and seed on the problem of `config`; files and summary go to folder `out`.

    The summary is of all that the folder holds by then: agents and seeds of before count too, after those asked for.
    Agents search as ``config.search`` says; its policy goes to those that use one.
    Leaves ``comparison.json`` and ``comparison.svg``. `optimum`, where it is known, takes the place of the best reward
    found. Raises `EennError` for unknown agents, and for a folder that holds another comparison or is being written to.
    """
    from eenn_agents.precheck import begun_with, check_search
    from eenn_agents.registry import uses_no_policy
    from eenn_rl.compare_plot import plot

    settings, progress = settings or CompareSettings(), progress or NullProgress()
    evaluator = make_evaluator(config, tables)
    _check_policy(config, settings)
    searches = [_search_settings(config, agent, max(settings.budgets)) for agent in settings.agents]
    for each in searches:
        check_search(each, evaluator.space)
    problem = _problem(config, settings, evaluator)
    check_place(out)
    with held(out, "comparison", "--out"):
        stored = claim(out, problem, progress, uses_policy=not all(map(uses_no_policy, settings.agents)))
        check_folder(out / "cells", "--out")
        tables.save(out / "tables.npz")
        cells = _cells(out, config, settings, progress)
        best = max(best_known(cells), optimum if optimum is not None else best_known(cells))
        rows = tuple(summarise(cells, settings.budgets, best))
        asked = {each.agent: each for each in searches}
        begun = [asked.get(row.agent) or _search_settings(stored.config, row.agent, problem.budget) for row in rows]
        policies = {each.agent: begun_with(each, evaluator.space) for each in begun}
        result = Comparison(best if isfinite(best) else None, evaluator.space.size, policies, rows, cells)
        write_json(out / "comparison.json", to_json(result))
        plot(out / "comparison.svg", cells, result.best_known)
    return result


def _cells(out: Path, config: RunConfig, settings: CompareSettings, progress: Progress) -> tuple[Cell, ...]:
    """Every cell, by agent, those asked for first; what is there is read before anything else is searched."""
    wanted, budget = list(product(settings.agents, range(settings.seeds))), max(settings.budgets)
    there = {cell: _read_cell(out, *cell, budget) for cell in wanted if _file(out, *cell).exists()}
    others = list(_others(out, {_file(out, *cell) for cell in wanted}, budget, progress))
    missing = sorted((cell for cell in wanted if cell not in there), key=lambda cell: cell[1])
    _search_all(out, config, settings, missing, progress)
    found = [*(there[cell] if cell in there else _read_cell(out, *cell, budget) for cell in wanted), *others]
    agents = list(dict.fromkeys(cell.agent for cell in found))
    return tuple(sorted(found, key=lambda cell: (agents.index(cell.agent), cell.seed)))


def _others(out: Path, asked: Collection[Path], budget: int, progress: Progress) -> Iterator[Cell]:
    """Cells of before that nobody asked for now; what is none is left out, and told."""
    for path in sorted(set((out / "cells").glob("*.json")).difference(asked)):
        try:
            named = re.fullmatch(r"(.+)-(0|[1-9][0-9]*)", path.stem)
            if named is None:
                raise InputFileError(f"{path}: expected a name such as random-0.json")
            yield _read_cell(out, named[1], int(named[2]), budget)
        except EennError as error:
            progress.note(f"left out of the summary: {error}")


def _check_policy(config: RunConfig, settings: CompareSettings) -> None:
    """Refuse a policy that none of the agents uses."""
    from eenn_agents.registry import uses_no_policy

    policy = config.search.policy
    if policy not in (None, "untrained") and all(map(uses_no_policy, settings.agents)):
        raise InvalidValueError(
            f"--policy {policy}: expected an agent that starts from a policy, such as ppo, found --agents "
            f"{','.join(settings.agents)}, which use none: leave out --policy, or add ppo"
        )


def _search_settings(config: RunConfig, agent: str, budget: int) -> AgentSettings:
    """How `agent` searches: as the configuration says, with its policy where the agent uses one."""
    from eenn_agents.registry import uses_no_policy

    policy = None if uses_no_policy(agent) else config.search.policy
    return replace(config.search, agent=agent, budget=budget, policy=policy)


def _file(out: Path, agent: str, seed: int) -> Path:
    return out / "cells" / f"{agent}-{seed}.json"


def _problem(config: RunConfig, settings: CompareSettings, evaluator: Evaluator) -> Compared:
    """What is compared on here."""
    content = content_of(evaluator, _policy_digest(config, evaluator.space))
    return Compared(config, evaluator.estimator.tables.fingerprint, max(settings.budgets), content)


def _policy_digest(config: RunConfig, space: SearchSpace) -> str:
    from eenn_agents.policy_file import digest_of
    from eenn_envs.layout import layout_for

    return digest_of(config.search.policy, layout_for(space), space.backbone.name)


def _read_cell(out: Path, agent: str, seed: int, budget: int) -> Cell:
    """The cell in its file; refused where it is not one of this search."""
    path = _file(out, agent, seed)
    try:
        cell = from_json(Cell, read_json(path), str(path))
        check(cell.agent == agent, f"{path}: agent", cell.agent, repr(agent))
        check(cell.seed == seed, f"{path}: seed", cell.seed, str(seed))
        check(cell.evaluations <= budget, f"{path}: evaluations", cell.evaluations, f"at most {budget}, the budget")
    except EennError as error:
        raise InputFileError(f"{error}: delete that file to search it again") from None
    return cell


def _search_all(
    out: Path, config: RunConfig, settings: CompareSettings, cells: Sequence[tuple[str, int]], progress: Progress
) -> None:
    progress.phase("compare", len(cells))
    for done, (agent, seed) in enumerate(_finished(out, config, settings, cells), start=1):
        progress.advance(done, agent=agent, seed=float(seed))


def _finished(
    out: Path, config: RunConfig, settings: CompareSettings, cells: Sequence[tuple[str, int]]
) -> Iterable[tuple[str, int]]:
    data, budget = to_json(config), max(settings.budgets)
    if settings.workers == 1 or len(cells) <= 1:
        for agent, seed in cells:
            search_cell(out, data, agent, seed, budget)
            yield agent, seed
        return
    with ProcessPoolExecutor(min(settings.workers, len(cells)), mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(search_cell, out, data, agent, seed, budget): (agent, seed) for agent, seed in cells}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BrokenProcessPool:
            raise EennError(
                f"{out}: expected every search's process to finish, found one that was killed or ended itself (perhaps "
                "memory ran out): start it again, which continues it, with fewer --workers if need be"
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def search_cell(out: Path, config: dict[str, Any], agent: str, seed: int, budget: int) -> None:
    """One agent's search with one seed on the problem in folder `out`; leaves its file there."""
    from eenn_agents.registry import uses_no_policy
    from eenn_agents.search import search

    settings = from_json(RunConfig, config, "the comparison's configuration")
    tables = out / "tables.npz"
    if not tables.exists():
        raise InputFileError(f"{tables}: expected the comparison's tables, found none: start the comparison anew")
    evaluator = make_evaluator(settings, AccuracyTables.load(tables))
    space, static = evaluator.space, evaluator.static
    check_content(out, space.accelerator, None if uses_no_policy(agent) else _policy_digest(settings, space))
    begun = time.perf_counter()
    result = search(agent, evaluator, _search_settings(settings, agent, budget), seed)
    wall_s = time.perf_counter() - begun
    history = result.history
    cell = Cell(
        agent=agent,
        seed=seed,
        evaluations=result.distinct,
        improvements=improvements(history),
        feasible_share=float(history.feasible.mean()) if len(history) else 0.0,
        hypervolume=hypervolume(history, static.estimate.accuracy, static.elp),
        wall_s=wall_s,
        early=result.early,
    )
    write_json(_file(out, agent, seed), to_json(cell))
