"""Finds, loads and checks hardware backends: `make_backend`, `list_backends`.

A backend is an entry point of group `eenn_rl`. Each is loaded alone, into a pluggy manager of its own: pluggy's
`load_setuptools_entrypoints` imports all or none, and one broken stranger would take every other backend with it.
"""

import contextlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import pluggy

from eenn_rl.backbone import Backbone
from eenn_rl.entry_points import claimed_too, installed_points
from eenn_rl.errors import BackendError, EennError, InvalidValueError, MissingDependencyError, one_line, unknown_name
from eenn_rl.hardware import DEFAULT_ACCELERATOR, AcceleratorSpec, load_accelerator
from eenn_rl.hookspecs import API_VERSION, PROJECT, HardwareBackend, HookSpecs
from eenn_rl.zoo import make_backbone

OLDEST_API_VERSION = 1
"""Backends written for an api_version from here to `API_VERSION` are served; see docs/plugins.md for the promise."""

HOOK = "eenn_rl_make_backend"

OWN_DISTRIBUTION = "eenn-rl"
"""The distribution whose backends come with this package."""


def served_versions() -> str:
    """The api_versions that this eenn-rl serves, for messages."""
    return f"{OLDEST_API_VERSION} to {API_VERSION}" if OLDEST_API_VERSION < API_VERSION else str(API_VERSION)


def _known_hooks() -> str:
    """Every hook with the arguments that it offers, for messages."""
    hooks = [(name, hook) for name, hook in sorted(vars(HookSpecs).items()) if name.startswith(PROJECT)]
    offered = [(name, list(inspect.signature(hook).parameters)[1:]) for name, hook in hooks]
    return ", ".join(f"{name}({', '.join(arguments)})" for name, arguments in offered)


@dataclass(frozen=True)
class BackendRecord:
    """One installed backend, as `eenn-rl backends` shows it.

    `origin` is the entry point's value (module, or module:object); `problem` is one line, None for a backend that
    works; `incomplete` says that all it lacks is an optional package. `accelerator` is its default one, on which it was
    tried; `declined` says, in one line, why it does not serve that one though it loads. `api_version` is known only for
    a backend that was made.
    """

    name: str
    distribution: str
    version: str
    origin: str
    problem: str | None = None
    api_version: int | None = None
    accelerator: str | None = None
    declined: str | None = None
    incomplete: bool = False

    def __str__(self) -> str:
        return f"backend {self.name!r} ({self.distribution} {self.version}, {self.origin})"


@dataclass(frozen=True)
class _Found:
    record: BackendRecord
    load: Callable[[], object]


def _discover() -> list[_Found]:
    """Every entry point of our group, nothing imported; sorted by name, then distribution."""
    return [
        _Found(BackendRecord(point.name, point.distribution, point.version, point.origin, point.problem), point.load)
        for point in installed_points(PROJECT)
    ]


def _same_name_problem(found: _Found, others: list[_Found]) -> str | None:
    """Why the name is ambiguous: every other distribution that claims it."""
    return claimed_too(o.record for o in others if o is not found and o.record.name == found.record.name)


def _call(found: _Found, doing: str, action: Callable[[], object]) -> object:
    """The plugin's code, anything it raises made one clear line; what it prints goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return action()
    except KeyboardInterrupt:
        raise
    except EennError as error:
        kind = type(error) if type(error).__module__ == EennError.__module__ else EennError
        raise kind(f"{found.record}: {' '.join(str(error).split())}") from error
    except BaseException as error:  # SystemExit at import is a plugin's mistake like any other
        raise BackendError(f"{found.record}: {doing}: {one_line(error)}") from error


def _register(found: _Found) -> pluggy.PluginManager:
    """Import the plugin into a manager of its own; its hooks and their arguments must be known ones."""
    plugin = _call(found, "cannot be imported", found.load)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HookSpecs)
    try:
        manager.register(plugin, found.record.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise BackendError(f"{found.record}: {one_line(error)}; known hooks: {_known_hooks()}") from error
    if not manager.hook.eenn_rl_make_backend.get_hookimpls():
        raise BackendError(f"{found.record}: expected a function {HOOK} marked with @hookimpl, found none")
    return manager


def check_backend(backend: object, who: str) -> HardwareBackend:
    """`backend`, if it is one that this version can serve; `who` names it in the error.

    Raises:
        BackendError: it is None, a class, lacks a member of `HardwareBackend`, or needs another api_version.
    """
    if backend is None or isinstance(backend, type):
        found = "None" if backend is None else f"the class {backend.__name__} itself"
        raise BackendError(f"{who}: {HOOK} must return a HardwareBackend, found {found}")
    try:
        version, evaluate = getattr(backend, "api_version", None), getattr(backend, "evaluate", None)
    except Exception as error:
        raise BackendError(f"{who}: reading api_version and evaluate failed: {one_line(error)}") from error
    if not callable(evaluate) or type(version) is not int:
        raise BackendError(
            f"{who}: {HOOK} must return an object with evaluate(workload) and an integer api_version, "
            f"found {type(backend).__name__} with api_version {version!r}"
        )
    if not OLDEST_API_VERSION <= version <= API_VERSION:
        todo = "upgrade eenn-rl" if version > API_VERSION else "upgrade the plugin"
        raise BackendError(f"{who}: needs api_version {version}, this eenn-rl serves {served_versions()}: {todo}")
    return cast(HardwareBackend, backend)


def _default_accelerator(manager: pluggy.PluginManager, found: _Found) -> AcceleratorSpec:
    hook = manager.hook.eenn_rl_default_accelerator
    answer = _call(found, "eenn_rl_default_accelerator failed", hook)
    if isinstance(answer, AcceleratorSpec):
        return answer
    if answer is not None and not isinstance(answer, str):
        raise BackendError(
            f"{found.record}: eenn_rl_default_accelerator must return an AcceleratorSpec or the name of a shipped one, "
            f"found {type(answer).__name__}"
        )
    if answer is None:
        return load_accelerator(DEFAULT_ACCELERATOR)
    return cast(AcceleratorSpec, _call(found, "its default accelerator", lambda: load_accelerator(answer)))


def _make(
    manager: pluggy.PluginManager, found: _Found, accelerator: AcceleratorSpec, backbone: Backbone
) -> HardwareBackend:
    hook = manager.hook.eenn_rl_make_backend
    backend = _call(found, f"{HOOK} failed", lambda: hook(accelerator=accelerator, backbone=backbone))
    return check_backend(backend, str(found.record))


def _find(name: str) -> _Found:
    everything = _discover()
    matches = [found for found in everything if found.record.name == name]
    if not matches:
        known = {found.record.name for found in everything if not found.record.problem}
        raise BackendError(str(unknown_name("backend", name, known)))
    if len(matches) > 1:
        raise BackendError(f"{matches[0].record}: {_same_name_problem(matches[0], matches)}")
    return matches[0]


def backend_maker(name: str) -> Callable[[AcceleratorSpec, Backbone], HardwareBackend]:
    """Makes backend `name` for many accelerators, found and imported once; raises as `make_backend` does."""
    found = _find(name)
    manager = _register(found)
    return lambda accelerator, backbone: _make(manager, found, accelerator, backbone)


def make_backend(name: str, accelerator: AcceleratorSpec, backbone: Backbone) -> HardwareBackend:
    """The backend `name` for `accelerator`, ready to cost stages of `backbone`; no other backend is imported.

    Raises:
        BackendError: no, or more than one, backend has that name, or it cannot be loaded; one line that names the
            distribution.
        EennError: whatever the backend's factory says about the accelerator or backbone.
    """
    return backend_maker(name)(accelerator, backbone)


def default_accelerator(name: str) -> AcceleratorSpec:
    """The accelerator to use with backend `name` when the user names none: the plugin's own, or `quad_edge_tpu`."""
    found = _find(name)
    return _default_accelerator(_register(found), found)


def backend_record(name: str) -> BackendRecord:
    """What is installed under `name`, nothing imported: a run notes the distribution and version that costed it."""
    return _find(name).record


def _trial(found: _Found) -> BackendRecord:
    """The record after making the backend for its default accelerator and a small backbone."""
    record = found.record
    try:
        manager = _register(found)
        accelerator = _default_accelerator(manager, found)
        record = replace(record, accelerator=accelerator.name)
        backend = _make(manager, found, accelerator, make_backbone("resnet8"))
    except EennError as error:
        reason = str(error).removeprefix(f"{found.record}: ")
        # It loads and knows what it cannot cost: with another accelerator it works.
        declines = isinstance(error, InvalidValueError) and record.accelerator
        if declines:
            return replace(record, declined=reason)
        return replace(record, problem=reason, incomplete=isinstance(error, MissingDependencyError))
    return replace(record, api_version=backend.api_version)


def installed_backends() -> dict[str, BackendRecord]:
    """What is installed under each name, nothing imported or tried."""
    return {found.record.name: found.record for found in _discover()}


def list_backends() -> tuple[BackendRecord, ...]:
    """Every installed backend, each one tried; those that cannot be used carry the reason."""
    everything = _discover()
    records = []
    for found in everything:
        problem = found.record.problem or _same_name_problem(found, everything)
        records.append(replace(found.record, problem=problem) if problem else _trial(found))
    return tuple(records)
