"""The verbs of the command line: each one's options, and what it does. What is heavy is imported when a verb runs."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eenn_rl.errors import InvalidValueError

if TYPE_CHECKING:
    from eenn_rl.config import RunConfig

Arguments = argparse.Namespace
Parser = argparse.ArgumentParser


@dataclass(frozen=True)
class Verb:
    """A verb of the command line: its one-line help, its options and what it does."""

    help_text: str
    add_options: Callable[[Parser], None]
    run: Callable[[Arguments], int]


def _train_options(parser: Parser) -> None:
    from eenn_rl.config import RunConfig
    from eenn_rl.options import add_options

    parser.add_argument("--run", type=Path, metavar="DIR", help="run folder (default: runs/<time>-<seed>, always new)")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run folder (the newest, if --run is absent; one that is not there yet is begun)",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="start from this configuration (a run's config.json)"
    )
    add_options(parser, RunConfig)


def _train(arguments: Arguments) -> int:
    from eenn_rl.config import RunConfig
    from eenn_rl.options import given
    from eenn_rl.run import train
    from eenn_rl.show import show

    folder = train(given(arguments, RunConfig), run=arguments.run, resume=arguments.resume, config=arguments.config)
    show(folder.path)
    return 0


def _verify_options(parser: Parser) -> None:
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--top", type=_positive, metavar="N", help="how many of the best (default: as in train)")
    parser.add_argument("--backend", metavar="NAME", help="cost the verified architectures by this backend instead")


def _verify(arguments: Arguments) -> int:
    from eenn_rl.show import show
    from eenn_rl.verify import recost_run, verify_run

    if arguments.backend is not None:
        print(recost_run(arguments.run, arguments.backend, arguments.top))
        return 0
    holds = verify_run(arguments.run, arguments.top)
    show(arguments.run)
    return 0 if holds else 1


def _show_options(parser: Parser) -> None:
    parser.add_argument("run", type=Path, help="run folder, or the log of one (trajectories.h5)")
    parser.add_argument("other", type=Path, nargs="?", help="a second one, to compare with")
    parser.add_argument("--json", action="store_true", help="for a program")


def _show(arguments: Arguments) -> int:
    from eenn_rl.show import show, show_both, show_json, show_log

    if arguments.other is not None:
        if arguments.json:
            raise InvalidValueError("show --json: expected one run, found two: ask for each alone")
        show_both(arguments.run, arguments.other)
    elif arguments.json:
        show_json(arguments.run)
    else:
        show_log(show(arguments.run))
    return 0


def _replay_options(parser: Parser) -> None:
    parser.add_argument("file", type=Path, help="a log (trajectories.h5), or its run folder")
    parser.add_argument("--backend", metavar="NAME", help="cost the logged architectures by this backend instead")
    parser.add_argument("--accelerator", metavar="NAME|FILE", help="cost them on this accelerator instead")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write the new costs (default: beside FILE)")
    from eenn_rl.objective import Objective
    from eenn_rl.options import add_options, settings_of

    as_logged = {item.dest: f"{item.help_text} (default: as logged)" for item in settings_of(Objective)}
    add_options(parser, Objective, help_texts=as_logged)


def _replay(arguments: Arguments) -> int:
    from eenn_rl.display import Display
    from eenn_rl.objective import Objective
    from eenn_rl.options import given
    from eenn_rl.replay import replay_file, rescore
    from eenn_rl.run_folder import log_of

    objective, log = given(arguments, Objective), log_of(arguments.file)
    with Display() as display:
        if arguments.backend is None and arguments.accelerator is None and not objective:
            if arguments.out is not None:
                raise InvalidValueError(
                    f"replay --out {arguments.out}: expected --backend, --accelerator or another --objective, whose "
                    "scores it holds, found none: give one, or leave out --out"
                )
            result = replay_file(log, display)
            lines, status = result.lines(), result.exit_status
        else:
            moved = rescore(log, arguments.backend, arguments.accelerator, arguments.out, display, objective)
            lines, status = moved.lines(), 0
    print("\n".join(lines))
    return status


def _export_options(parser: Parser) -> None:
    parser.add_argument("run", type=Path, help="run folder (or, but for onnx, a trajectories.h5)")
    parser.add_argument("--to", required=True, choices=("onnx", "minari", "csv", "json", "parquet"), help="format")
    parser.add_argument("target", type=Path, metavar="TARGET", help="folder (onnx, minari) or file to write")
    parser.add_argument("--architecture", type=_positive, metavar="N", help="onnx: which one (default: 1)")


def _export(arguments: Arguments) -> int:
    if arguments.to == "onnx":
        from eenn_rl.export_onnx import export_run

        export_run(arguments.run, arguments.target, arguments.architecture or 1)
        print(f"written: {arguments.target} (see its manifest.json)")
        return 0
    if arguments.architecture is not None:
        raise InvalidValueError(
            f"export --architecture {arguments.architecture}: expected --to onnx, found --to {arguments.to}, which "
            "holds every architecture: leave it out"
        )
    from eenn_rl.display import Display
    from eenn_rl.export_log import export_log

    with Display() as display:
        rows = export_log(arguments.run, arguments.to, arguments.target, display)
    print(f"written: {arguments.target} ({rows:,} {'episodes' if arguments.to == 'minari' else 'rows'})")
    return 0


def _report_options(parser: Parser) -> None:
    help_ = "run folder, or a log; several are put side by side"
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help=help_)
    parser.add_argument("--output", type=Path, metavar="PATH", help="file or folder (default: in the run folder)")
    parser.add_argument("--format", choices=("html", "png", "svg"), default="html", help="(default: html)")


def _report(arguments: Arguments) -> int:
    from eenn_rl.report import write_report

    print(f"written: {write_report(arguments.runs, arguments.output, arguments.format)}")
    return 0


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
    from eenn_rl.pretrain import PretrainSettings

    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the policy (.npz)")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="saved here, and continued from here")
    add_options(parser, RunConfig, ("dataset", "backbone", "tables", "seed"), {"tables": _MEASURED_TABLES})
    add_options(parser, PretrainSettings)


def _pretrain(arguments: Arguments) -> int:
    from eenn_rl.display import Display
    from eenn_rl.options import given
    from eenn_rl.pretrain import PretrainSettings, pretrain
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
    parser.add_argument("-n", type=_positive, default=16, metavar="N", help="how many architectures (default: 16)")
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


def _cost_options(parser: Parser) -> None:
    parser.add_argument(
        "file", type=Path,
        help="a list of layers (JSON), an architecture file (JSON), an ONNX network, or a folder that export wrote",
    )  # fmt: skip
    own = "a folder's own"
    parser.add_argument("--accelerator", metavar="NAME|FILE", help=f"(default: the backend's, or {own})")
    parser.add_argument("--backend", metavar="NAME", help=f"(default: multicore; {own})")
    parser.add_argument(
        "--core", type=_natural, metavar="N", help="core that runs everything, from 0 (default: where each kind runs)"
    )
    parser.add_argument("--mapping", type=Path, metavar="FILE", help="ZigZag mapping file")
    parser.add_argument("--clock-hz", type=float, metavar="X", help="clock of an accelerator file that names none")
    parser.add_argument("--bits", type=_positive, metavar="N", help="of an ONNX network (default: its own, else 8)")
    parser.add_argument(
        "--input-shape", type=_shape, metavar="C,H,W",
        help="channels, height and width of an ONNX network's image, where it leaves them free (default: its own)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for a program")


def _cost(arguments: Arguments) -> int:
    from eenn_rl.cost_report import run_cost

    print(
        run_cost(
            arguments.file, arguments.accelerator, arguments.backend, arguments.core, arguments.mapping,
            as_json=arguments.json, clock_hz=arguments.clock_hz, bits=arguments.bits,
            input_shape=arguments.input_shape,
        )
    )  # fmt: skip
    return 0


def _backends_options(parser: Parser) -> None:
    parser.add_argument("action", nargs="?", choices=("new",), help="new: write a package for a backend of your own")
    parser.add_argument("name", nargs="?", metavar="NAME", help="what users will pass to --backend")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where to write it (default: eenn-NAME)")
    parser.add_argument("--json", action="store_true", help="for a program")


def _backends(arguments: Arguments) -> int:
    from eenn_rl.backends_view import backends_data, backends_text

    if arguments.action == "new":
        from eenn_rl.backend_template import write_package

        if arguments.name is None:
            raise InvalidValueError("eenn-rl backends new: expected a NAME, found none: eenn-rl backends new my-chip")
        print(f"written: {write_package(arguments.name, arguments.folder)} (see its README.md)")
        return 0
    print(json.dumps(backends_data(), indent=1) if arguments.json else backends_text())
    return 0


def _agents_options(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="for a program")


def _agents(arguments: Arguments) -> int:
    from eenn_agents.agents_view import agents_data, agents_text

    print(json.dumps(agents_data(), indent=1) if arguments.json else agents_text())
    return 0


def _accelerators_options(parser: Parser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME|FILE", help="one of them, in full")


def _accelerators(arguments: Arguments) -> int:
    from eenn_rl.accelerator_view import accelerators_text

    print(accelerators_text(arguments.name))
    return 0


def _positive(text: str) -> int:
    return _at_least(1, text)


def _natural(text: str) -> int:
    return _at_least(0, text)


def _shape(text: str) -> tuple[int, int, int]:
    sizes = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if len(sizes) != 3 or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"expected C,H,W, three integers of at least 1, found {text!r}")
    return sizes[0], sizes[1], sizes[2]


def _at_least(bound: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = bound - 1
    if value < bound:
        raise argparse.ArgumentTypeError(f"expected an integer of at least {bound}, found {text!r}")
    return value


VERBS: dict[str, Verb] = {
    "train": Verb("design an early-exit network: estimate, search, train in full, verify", _train_options, _train),
    "verify": Verb("train the best architectures of a run in full and measure them", _verify_options, _verify),
    "show": Verb("the results of a run", _show_options, _show),
    "report": Verb("a run as one self-contained page, or as figures", _report_options, _report),
    "replay": Verb("re-execute every logged episode and compare bit by bit", _replay_options, _replay),
    "export": Verb(
        "a run for others: onnx to deploy; minari, csv, json, parquet to learn from", _export_options, _export
    ),
    "propose": Verb("architectures for an accelerator at once, from a pretrained policy", _propose_options, _propose),
    "pretrain": Verb("train one policy for many accelerators and data sets", _pretrain_options, _pretrain),
    "compare": Verb("agents side by side on one problem, at equal budgets", _compare_options, _compare),
    "cost": Verb("energy and latency of layers, an architecture or an ONNX network", _cost_options, _cost),
    "backends": Verb("the hardware backends that are installed", _backends_options, _backends),
    "agents": Verb("the agents that are installed", _agents_options, _agents),
    "accelerators": Verb("the accelerators that are shipped", _accelerators_options, _accelerators),
}
