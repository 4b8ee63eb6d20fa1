"""The command line: one small function per verb, which imports what it needs when it runs.

Results go to stdout, progress and logs to stderr. Exit status 0: the job was done; 1: a check did not hold; 2: wrong
usage or input, told in one line.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from eenn_rl import __version__
from eenn_rl.errors import EennError, InvalidValueError, unknown_name

Arguments = argparse.Namespace


class _Parser(argparse.ArgumentParser):
    """Errors in one line, with the near misses of an unknown flag."""

    def error(self, message: str) -> NoReturn:
        raise InvalidValueError(f"{message} (see {self.prog} --help)")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, rest = self.parse_known_args(args, namespace)
        if rest:
            flag = rest[0].partition("=")[0]
            if not flag.startswith("--"):
                self.error(f"unexpected argument {rest[0]!r}")
            known = (name for action in self._actions for name in action.option_strings if name.startswith("--"))
            raise InvalidValueError(f"{self.prog}: {unknown_name('option', flag, known)}")
        return parsed


@dataclass(frozen=True)
class Verb:
    """A verb of the command line: its one-line help, its options and what it does."""

    help_text: str
    add_options: Callable[[_Parser], None]
    run: Callable[[Arguments], int]


def _train_options(parser: _Parser) -> None:
    from eenn_rl.config import RunConfig
    from eenn_rl.options import add_options

    parser.add_argument("--run", type=Path, metavar="DIR", help="run folder (default: runs/<time>-<seed>, always new)")
    parser.add_argument(
        "--resume", action="store_true", help="continue the run folder (the newest, if --run is absent)"
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


def _verify_options(parser: _Parser) -> None:
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


def _show_options(parser: _Parser) -> None:
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--json", action="store_true", help="for a program")


def _show(arguments: Arguments) -> int:
    from eenn_rl.show import show

    show(arguments.run, as_json=arguments.json)
    return 0


def _replay_options(parser: _Parser) -> None:
    parser.add_argument("file", type=Path, help="trajectories.h5")


def _replay(arguments: Arguments) -> int:
    from eenn_rl.display import Display
    from eenn_rl.replay import replay_file

    with Display() as display:
        result = replay_file(arguments.file, display)
    print("\n".join(result.lines()))
    return result.exit_status


def _cost_options(parser: _Parser) -> None:
    parser.add_argument(
        "file", type=Path, help="a list of layers (JSON), an architecture file (JSON) or an ONNX network"
    )
    parser.add_argument("--accelerator", default="quad_edge_tpu", metavar="NAME|FILE", help="(default: quad_edge_tpu)")
    parser.add_argument("--backend", default="multicore", metavar="NAME", help="(default: multicore)")
    parser.add_argument("--core", type=_natural, metavar="N", help="allocation that runs the layers (default: 0)")
    parser.add_argument("--mapping", type=Path, metavar="FILE", help="ZigZag mapping file")
    parser.add_argument("--clock-hz", type=float, metavar="X", help="clock of an accelerator file that names none")
    parser.add_argument("--json", action="store_true", help="for a program")


def _cost(arguments: Arguments) -> int:
    raise NotImplementedError


def _backends_options(parser: _Parser) -> None:
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


def _accelerators_options(parser: _Parser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME|FILE", help="one of them, in full")


def _accelerators(arguments: Arguments) -> int:
    raise NotImplementedError


def _positive(text: str) -> int:
    return _at_least(1, text)


def _natural(text: str) -> int:
    return _at_least(0, text)


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
    "replay": Verb("re-execute every logged episode and compare bit by bit", _replay_options, _replay),
    "cost": Verb("energy and latency of layers, an architecture or an ONNX network", _cost_options, _cost),
    "backends": Verb("the hardware backends that are installed", _backends_options, _backends),
    "accelerators": Verb("the accelerators that are shipped", _accelerators_options, _accelerators),
}


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {name:<{width}}  {verb.help_text}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "usage: eenn-rl VERB [OPTIONS]",
            "",
            "Reinforcement learning that designs early-exit neural networks for multi-core edge accelerators.",
            "",
            *lines,
            "",
            "eenn-rl VERB --help lists a verb's options; eenn-rl --version prints the version.",
        ]
    )


def _dispatch(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"eenn-rl {__version__}")
        return 0
    name, *rest = words
    if name not in VERBS:
        raise unknown_name("verb", name, VERBS)
    verb = VERBS[name]
    parser = _Parser(prog=f"eenn-rl {name}", description=verb.help_text, allow_abbrev=False)
    verb.add_options(parser)
    return verb.run(parser.parse_args(rest))


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    # Threads that spin while they wait slow a busy machine down thirtyfold; set before torch reads it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return _dispatch(sys.argv[1:] if words is None else words)
    except EennError as error:
        print("eenn-rl: error: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("eenn-rl: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader went away: `eenn-rl show RUN | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
