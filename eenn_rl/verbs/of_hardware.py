"""Verbs of the hardware alone: costs, backends, accelerators."""

import json
from pathlib import Path

from eenn_rl.errors import InvalidValueError
from eenn_rl.verbs.verb import Arguments, Parser, Verb, natural, positive, shape


def _cost_options(parser: Parser) -> None:
    parser.add_argument(
        "file", type=Path,
        help="a list of layers (JSON), an architecture file (JSON), an ONNX network, or a folder that export wrote",
    )  # fmt: skip
    own = "a folder's own"
    parser.add_argument("--accelerator", metavar="NAME|FILE", help=f"(default: the backend's, or {own})")
    parser.add_argument("--backend", metavar="NAME", help=f"(default: multicore; {own})")
    parser.add_argument(
        "--core", type=natural, metavar="N", help="core that runs everything, from 0 (default: where each kind runs)"
    )
    parser.add_argument("--mapping", type=Path, metavar="FILE", help="ZigZag mapping file")
    parser.add_argument("--clock-hz", type=float, metavar="X", help="clock of an accelerator file that names none")
    parser.add_argument("--bits", type=positive, metavar="N", help="of an ONNX network (default: its own, else 8)")
    parser.add_argument(
        "--input-shape", type=shape, metavar="C,H,W",
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


def _accelerators_options(parser: Parser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME|FILE", help="one of them, in full")


def _accelerators(arguments: Arguments) -> int:
    from eenn_rl.accelerator_view import accelerators_text

    print(accelerators_text(arguments.name))
    return 0


VERBS: dict[str, Verb] = {
    "cost": Verb("energy and latency of layers, an architecture or an ONNX network", _cost_options, _cost),
    "backends": Verb("the hardware backends that are installed", _backends_options, _backends),
    "accelerators": Verb("the accelerators that are shipped", _accelerators_options, _accelerators),
}
