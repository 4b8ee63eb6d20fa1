"""Verbs that make a run, and those that read one."""

from pathlib import Path

from eenn_rl.errors import InvalidValueError
from eenn_rl.verbs.verb import Arguments, Parser, Verb, positive


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
    parser.add_argument("--top", type=positive, metavar="N", help="how many of the best (default: as in train)")
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
    parser.add_argument("--architecture", type=positive, metavar="N", help="onnx: which one (default: 1)")


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


VERBS: dict[str, Verb] = {
    "train": Verb("design an early-exit network: estimate, search, train in full, verify", _train_options, _train),
    "verify": Verb("train the best architectures of a run in full and measure them", _verify_options, _verify),
    "show": Verb("the results of a run", _show_options, _show),
    "report": Verb("a run as one self-contained page, or as figures", _report_options, _report),
    "replay": Verb("re-execute every logged episode and compare bit by bit", _replay_options, _replay),
    "export": Verb(
        "a run for others: onnx to deploy; minari, csv, json, parquet to learn from", _export_options, _export
    ),
}
