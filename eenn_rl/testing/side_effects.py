"""The promise that evaluating leaves everything else as it was."""

import contextlib
import copy
import io
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from eenn_rl.hookspecs import BatchBackend, HardwareBackend
from eenn_rl.testing.speed import batch_of
from eenn_rl.testing.subject import BrokenPromise, Subject, call, evaluated, made, require
from eenn_rl.workload import Workload


def _global_state() -> dict[str, object]:
    generator = np.random.get_state(legacy=False)  # noqa: NPY002  it is the global state that we watch
    torch: Any = sys.modules.get("torch")
    return {
        "the working directory": Path.cwd(),
        "files in the working directory": {e.name: (e.stat().st_mtime_ns, e.stat().st_size) for e in os.scandir()},
        "environment variables": dict(os.environ),
        "random's state": random.getstate(),
        "numpy.random's state": str(generator),
        "torch's random state": torch and torch.get_rng_state().tolist(),
        "numpy's error handling": np.geterr(),
    }


@contextlib.contextmanager
def _unusual_state() -> Iterator[None]:
    """Global state that no backend sets by itself, so that one which sets the same each time is seen to.

    An empty working directory, where nobody else writes meanwhile; what was there before is put back.
    """
    plain, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002  likewise
    torch: Any = sys.modules.get("torch")
    torchs = torch and torch.get_rng_state()
    with (
        tempfile.TemporaryDirectory() as empty,
        contextlib.chdir(empty),
        np.errstate(all="call", call=lambda *_: None),
    ):
        try:
            random.seed("eenn_rl.testing")
            np.random.seed(1_970_320_871)  # noqa: NPY002  likewise
            if torch:
                torch.set_rng_state(torch.Generator().manual_seed(1_970_320_871).get_state())
            yield
        finally:
            random.setstate(plain)
            np.random.set_state(numpys)  # noqa: NPY002  likewise
            if torch:
                torch.set_rng_state(torchs)


_PROMISE = "free of side effects"


def check_free_of_side_effects(subject: Subject) -> None:
    """Evaluating changes neither its arguments nor the process, and writes nothing to stdout."""
    backend = made(subject, _PROMISE)
    with _unusual_state():
        for workload in subject.workloads:
            _check_evaluate(backend, workload)
        if isinstance(backend, BatchBackend):
            _check_evaluate_batch(backend, subject.workloads)


def _check_evaluate(backend: HardwareBackend, workload: Workload) -> None:
    untouched = copy.deepcopy(workload)
    _watch("evaluate", workload, lambda: evaluated(backend, workload, _PROMISE))
    require(workload == untouched, _PROMISE, workload, "evaluate changed the workload")


def _check_evaluate_batch(backend: BatchBackend, workloads: Sequence[Workload]) -> None:
    stages, index = batch_of(workloads)
    untouched = copy.deepcopy(stages), index.copy()

    def ask() -> None:
        with contextlib.suppress(BrokenPromise):  # that it raises breaks another promise, and is told there
            call(_PROMISE, None, "evaluate_batch", lambda: backend.evaluate_batch(stages, index))

    _watch("evaluate_batch", None, ask)
    require(stages == untouched[0], _PROMISE, None, "evaluate_batch changed the stages that it was given")
    require(np.array_equal(index, untouched[1]), _PROMISE, None, "evaluate_batch changed the index that it was given")


def _watch(what: str, workload: Workload | None, ask: Callable[[], object]) -> None:
    """`ask` the backend with all eyes on the process; `what` names the backend's method."""
    before, printed = _global_state(), io.StringIO()
    with contextlib.redirect_stdout(printed), mock.patch.object(os, "putenv", wraps=os.putenv) as putenv:
        ask()
    require(not printed.getvalue(), _PROMISE, workload, f"{what} printed {printed.getvalue()[:60]!r} on stdout")
    now = _global_state()
    changed = [name for name, value in before.items() if value is not None and now[name] != value]
    require(not changed, _PROMISE, workload, f"{what} changed {', '.join(changed)}")
    _check_variables(what, workload, ask, {os.fsdecode(call.args[0]) for call in putenv.call_args_list})


def _check_variables(what: str, workload: Workload | None, ask: Callable[[], object], written: set[str]) -> None:
    """Environment variables that evaluating writes must be put back: tried with values that it does not expect."""
    if not written:
        return
    unusual = dict.fromkeys(written, "73")
    with mock.patch.dict(os.environ, unusual):
        ask()
        changed = sorted(name for name, value in unusual.items() if os.environ.get(name) != value)
    require(not changed, _PROMISE, workload, f"{what} changed environment variables ({', '.join(changed)})")
