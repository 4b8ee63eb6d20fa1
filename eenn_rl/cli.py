"""The command line: picks the verb and turns whatever went wrong into one line.

Results go to stdout, progress and logs to stderr. Exit status 0: the job was done; 1: a check did not hold; 2: wrong
usage or input, told in one line.
"""

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from eenn_rl import __version__
from eenn_rl.errors import FULL_DISK, PLACES, TRACEBACK, EennError, InvalidValueError, unknown_name
from eenn_rl.verbs import VERBS


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


def _check_system() -> None:
    """Runs and logs are held by POSIX file locks: told here, before a verb fails halfway."""
    try:
        import fcntl  # noqa: F401
    except ImportError:
        raise EennError(
            f"expected a POSIX system (Linux, macOS), found {sys.platform}, which has no module fcntl: "
            "use one, a container or WSL"
        ) from None


def _dispatch(words: Sequence[str]) -> int:
    _check_system()
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


def _replace_what_cannot_be_shown() -> None:
    """A character that the terminal lacks is no reason to say nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    # Threads that spin while they wait slow a busy machine down thirtyfold; set before torch reads it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _replace_what_cannot_be_shown()
    try:
        return _dispatch(sys.argv[1:] if words is None else words)
    except EennError as error:
        if os.environ.get(TRACEBACK):  # for those who write a backend, an agent or a backbone
            traceback.print_exc()
        print("eenn-rl: error: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("eenn-rl: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader went away: `eenn-rl show RUN | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        line = _told(error)
        if line is None:
            raise
        print(f"eenn-rl: error: {line}", file=sys.stderr)
        return 2


def _told(error: OSError) -> str | None:
    """What a user can mend, in one line; None for anything else."""
    if error.errno in FULL_DISK:
        what = f"{error.filename or 'a file'}: expected room to write, found {FULL_DISK[error.errno]}"
        return f"{what}: free some space and continue a run with --resume"
    if error.errno in PLACES and error.filename is not None:
        name = str(error.filename)
        shown = name if len(name) <= 100 else f"{name[:97]}..."
        return f"{shown}: expected a path that can be used, found: {error.strerror}: choose another"
    return None


if __name__ == "__main__":
    sys.exit(main())
