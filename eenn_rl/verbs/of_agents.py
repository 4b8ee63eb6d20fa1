"""Verbs of agents and their policies, on measured tables: nothing is trained in full."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from eenn_rl.errors import InvalidValueError
from eenn_rl.verbs.verb import Arguments, Parser, Verb, positive

if TYPE_CHECKING:
    from eenn_rl.config import RunConfig


def _problem_options(parser: Parser) -> None:
    from eenn_rl.config import PROBLEM_FIELDS, RunConfig
    from eenn_rl.options import add_options

    add_options(parser, RunConfig, PROBLEM_FIELDS, {"tables": _MEASURED_TABLES})


_MEASURED_TABLES = (
    "measured accuracy tables: a file (a run's tables.npz) or `shipped` (default: those that are shipped for --dataset "
    "and --backbone)"
)
"""The help of --tables where nothing measures them."""


def _problem(arguments: Arguments) -> "RunConfig":
    from eenn_rl.config import RunConfig, make_config
    from eenn_rl.options import given
    from eenn_rl.problem import on_data_of_tables

    typed = given(arguments, RunConfig)
    config = make_config(typed)
    return config if "dataset" in typed else on_data_of_tables(config)


def _compare_options(parser: Parser) -> None:
    from eenn_rl.compare import CompareSettings
    from eenn_rl.config import RunConfig
    from eenn_rl.options import add_options

    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="its folder; one begun is continued")
    _problem_options(parser)
    add_options(parser, RunConfig, ("search.policy",), {"search.policy": _COMPARED_POLICY})
    add_options(parser, CompareSettings)


_COMPARED_POLICY = (
    "policy that ppo starts from: a file, `shipped`, or `untrained` (default: the shipped one, where it fits; it was "
    "trained on the shipped tables)"
)


def _compare(arguments: Arguments) -> int:
    from eenn_rl.compare import CompareSettings, compare
    from eenn_rl.compared import holds_comparison
    from eenn_rl.display import Display
    from eenn_rl.options import given
    from eenn_rl.problem import broken_promises, make_evaluator, tables_or_shipped
    from eenn_rl.serialization import from_json

    config = _problem(arguments)
    settings = from_json(CompareSettings, given(arguments, CompareSettings), "options")
    tables = tables_or_shipped(config)
    known = holds_comparison(arguments.out)
    with Display() as display:
        for line in () if known else broken_promises(config, make_evaluator(config, tables).space):
            display.note(line)
        print(compare(config, tables, arguments.out, settings, display))
    return 0


def _pretrain_options(parser: Parser) -> None:
    from eenn_rl.config import RunConfig
    from eenn_rl.options import add_options
    from eenn_rl.pretrain_settings import PretrainSettings

    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the policy (.npz)")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="saved here, and continued from here")
    add_options(parser, RunConfig, ("dataset", "backbone", "tables", "seed"), {"tables": _MEASURED_TABLES})
    add_options(parser, PretrainSettings)


def _pretrain(arguments: Arguments) -> int:
    from eenn_rl.display import Display
    from eenn_rl.options import given
    from eenn_rl.pretrain import pretrain
    from eenn_rl.pretrain_settings import PretrainSettings
    from eenn_rl.problem import tables_or_shipped
    from eenn_rl.serialization import from_json

    if arguments.out.exists():
        raise InvalidValueError(f"{arguments.out}: expected no file, found one: choose another --out")
    config = _problem(arguments)
    settings = from_json(PretrainSettings, given(arguments, PretrainSettings), "options")
    with Display() as display:
        pretrain(tables_or_shipped(config), arguments.out, settings, config.seed, display, arguments.checkpoint)
    print(f"written: {arguments.out}; use it with eenn-rl train --policy or eenn-rl propose --policy")
    return 0


def _propose_options(parser: Parser) -> None:
    from eenn_rl.config import RunConfig
    from eenn_rl.options import add_options

    parser.add_argument("--policy", metavar="FILE", help="a pretrained policy (default: the shipped one)")
    parser.add_argument("-n", type=positive, default=16, metavar="N", help="how many architectures (default: 16)")
    parser.add_argument("--json", action="store_true", help="for a program")
    _problem_options(parser)
    add_options(parser, RunConfig, ("seed",))


def _propose(arguments: Arguments) -> int:
    from eenn_rl.problem import make_evaluator, tables_or_shipped
    from eenn_rl.propose import missed, propose
    from eenn_rl.show import show_proposals

    config = _problem(arguments)
    evaluator = make_evaluator(config, tables_or_shipped(config))
    proposals = propose(evaluator, arguments.policy, arguments.n, config.seed)
    show_proposals(evaluator, proposals, as_json=arguments.json)
    for line in () if arguments.json else missed(proposals):
        print(line)
    return 0


def _agents_options(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="for a program")


def _agents(arguments: Arguments) -> int:
    from eenn_agents.agents_view import agents_data, agents_text

    print(json.dumps(agents_data(), indent=1) if arguments.json else agents_text())
    return 0


VERBS: dict[str, Verb] = {
    "propose": Verb("architectures for an accelerator at once, from a pretrained policy", _propose_options, _propose),
    "pretrain": Verb("train one policy for many accelerators and data sets", _pretrain_options, _pretrain),
    "compare": Verb("agents side by side on one problem, at equal budgets", _compare_options, _compare),
    "agents": Verb("the agents that are installed", _agents_options, _agents),
}
