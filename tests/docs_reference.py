"""The reference part of docs/plugins.md, rendered from the code; run as a script it is written anew."""

import ast
import inspect
import textwrap
from pathlib import Path
from types import ModuleType

from eenn_rl import backbone, cost, hardware, hookspecs, workload
from eenn_rl.hardware import memory
from eenn_rl.schedule import layer_model

DOCS = Path(__file__).parent.parent / "docs" / "plugins.md"
WIDTH = 110
BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"

NAMES: dict[ModuleType, tuple[str, ...]] = {
    hookspecs: ("HookSpecs", "HardwareBackend", "BatchBackend"),
    workload: ("Workload", "Stage"),
    cost: ("CostReport", "ExitCost", "Violation", "StageCost", "LayerCost", "Span"),
    backbone: ("Layer", "Block", "Backbone"),
    hardware: (
        "AcceleratorSpec", "CoreSpec", "MemorySpec", "PortSpec", "Traffic", "Precision", "ArrayDimension", "Dataflow",
        "Unrolling", "OperatingPoint", "LinkSpec", "DramSpec",
    ),
    layer_model: ("LayerModel", "PreparedLayerModel", "LayerRequest", "CoreLayerCost"),
}  # fmt: skip

ALIASES: dict[ModuleType, tuple[tuple[ModuleType, str], ...]] = {
    backbone: ((backbone, "Size"), (backbone, "LayerKind")),
    hardware: ((memory, "Operand"), (memory, "Direction")),
}
"""Names that the types of a module use, and where they are defined."""


def _paragraphs(text: str | None) -> list[str]:
    """A docstring's paragraphs, each on one line."""
    return [" ".join(part.split()) for part in (text or "").split("\n\n")]


def _member(node: ast.stmt) -> list[str]:
    """A field, what stands below it, or a method's decorators and signature with its first sentence, as in the code."""
    if isinstance(node, ast.AnnAssign):
        return [f"    {ast.unparse(node)}"]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return [f"    # {line}" for line in textwrap.wrap(" ".join(str(node.value.value).split()), WIDTH)]
    if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
        decorators = [f"    @{ast.unparse(decorator)}" for decorator in node.decorator_list]
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        signature = f"    def {node.name}({ast.unparse(node.args)}){returns}: ..."
        return [*decorators, signature, *(f"        # {line}" for line in _told(_paragraphs(ast.get_docstring(node))))]
    return []


def _told(paragraphs: list[str]) -> list[str]:
    return [line for text in paragraphs if text for line in textwrap.wrap(text, WIDTH)]


def render(module: ModuleType, name: str) -> str:
    """Class `name`: what its docstring says, its fields and its public methods."""
    (tree,) = ast.parse(inspect.getsource(getattr(module, name))).body
    assert isinstance(tree, ast.ClassDef)
    bases = f"({', '.join(ast.unparse(base) for base in tree.bases)})" if tree.bases else ""
    summary, *more = _paragraphs(ast.get_docstring(tree))
    members = [line for node in tree.body[1:] for line in _member(node)]
    return "\n".join([f"class {name}{bases}:  # {summary}", *(f"    # {line}" for line in _told(more)), *members])


def alias(module: ModuleType, name: str) -> str:
    """Type alias `name` as it stands in the code."""
    tree = ast.parse(inspect.getsource(module))
    found = [node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name]
    return ast.unparse(found[0])


def reference() -> str:
    """All of it: one block per module."""
    parts = []
    for module, names in NAMES.items():
        where = "eenn_rl.schedule" if module is layer_model else module.__name__
        aliases = "\n".join(alias(*found) for found in ALIASES.get(module, ()))
        body = "\n\n".join([*([aliases] if aliases else []), *(render(module, name) for name in names)])
        parts.append(f"### {where}\n\n```python\n{body}\n```")
    return "\n\n".join(parts)


def main() -> None:
    """Write the reference into the docs."""
    text = DOCS.read_text("utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    DOCS.write_text(f"{before}{BEGIN}\n\n{reference()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
