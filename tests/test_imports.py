"""The import arrows: which part of the project may know which."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [
    ROOT / "eenn_rl",
    *(path for name in ("backends", "envs", "agents") for path in (ROOT / name).glob("eenn_*")),
]

FLOORS = [
    {"errors", "progress"},
    {"options", "serialization", "backbone", "entry_points"},
    {"branches", "hardware", "cost"},
    {"architecture", "zoo"},
    {"workload"},
    {"schedule", "hookspecs"},
    {"plugins"},
]
"""The core, from the ground up: a module imports only from lower floors (or its own package)."""

BACKENDS_MAY_IMPORT = {"backbone", "hardware", "workload", "cost", "schedule", "hookspecs", "errors"}
KNOW_THE_AGENTS = {"verbs", "run", "replay", "compare", "pretrain", "propose"}


def modules() -> Iterator[tuple[str, Path]]:
    for package in SOURCES:
        for path in sorted(package.rglob("*.py")):
            parts = path.relative_to(package.parent).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__"), path


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Dotted names of all modules that the file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def core_parts(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("eenn_rl.")}


MODULES = dict(modules())


def test_the_core_is_a_stack_of_floors() -> None:
    """No core module imports from its own floor or a higher one."""
    floor_of = {name: index for index, floor in enumerate(FLOORS) for name in floor}
    for name, path in MODULES.items():
        part = name.split(".")[1] if name.startswith("eenn_rl.") else ""
        if part not in floor_of:
            continue
        for other in core_parts(imports(path)) - {part}:
            if other in floor_of:
                assert floor_of[other] < floor_of[part], f"{name} imports {other}"
            else:
                assert not (ROOT / "eenn_rl" / f"{other}.py").exists(), f"{name} imports {other}, which stands above"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even inside functions or for types alone: each module can be understood after those that it imports."""
    faces = {name: imports(path) for name, path in MODULES.items() if path.name == "__init__.py"}
    graph = {}
    for name, path in MODULES.items():
        found = imports(path)
        others = [face for face in found & faces.keys() if not name.startswith(f"{face}.")]
        graph[name] = found.union(*(faces[face] for face in others)) & MODULES.keys() - faces.keys() - {name}
    for face in faces:  # it only hands on what its package holds
        del graph[face]
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


@pytest.mark.parametrize("name", [name for name in MODULES if MODULES[name].is_relative_to(ROOT / "backends")])
def test_backends_import_only_what_a_third_party_may(name: str) -> None:
    """Our own backends use exactly the public path."""
    found = {item for item in imports(MODULES[name]) if item.startswith("eenn_")}
    own = name.split(".", maxsplit=1)[0]
    for item in found:
        package, _, rest = item.partition(".")
        assert package == own or (package == "eenn_rl" and rest.split(".")[0] in BACKENDS_MAY_IMPORT), (
            f"{name} imports {item}"
        )


def test_only_the_verbs_know_agents_and_environments() -> None:
    """`eenn_agents -> eenn_envs -> eenn_rl`; in eenn_rl only verbs know them, and import them inside functions."""
    for name, path in MODULES.items():
        packages = {item.split(".")[0] for item in imports(path)}
        if name.startswith("eenn_envs"):
            assert "eenn_agents" not in packages, name
        if name.startswith("eenn_rl") and packages & {"eenn_envs", "eenn_agents"}:
            assert name.split(".")[1] in KNOW_THE_AGENTS, name
            top = {item.split(".")[0] for item in imports(path, top_level_only=True)}
            assert not top & {"eenn_envs", "eenn_agents"}, f"{name} imports them at its top level"


def test_torch_and_h5py_live_where_they_belong() -> None:
    """Torch is known to networks and agents alone, h5py to the trajectory log alone."""
    for name, path in MODULES.items():
        packages = {item.split(".")[0] for item in imports(path)}
        if packages & {"torch", "torchvision"}:
            assert name.startswith(("eenn_rl.networks", "eenn_agents")), name
        if "h5py" in packages:
            assert name.startswith("eenn_rl.trajectory"), name


def test_the_command_line_starts_light() -> None:
    """Help must answer at once: importing the command line loads none of the heavy libraries."""
    code = (
        "import sys, eenn_rl.cli; "
        "heavy = {'torch', 'sklearn', 'h5py', 'gymnasium', 'numpy', 'pydantic'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
