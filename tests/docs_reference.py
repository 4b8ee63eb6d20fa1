"""The reference part of docs/plugins.md, rendered from the code; run as a script it is written anew."""

import ast
import inspect
from pathlib import Path
from types import ModuleType

from eenn_rl import backbone, cost, hardware, hookspecs, workload
from eenn_rl.schedule import layer_model

DOCS = Path(__file__).parent.parent / "docs" / "plugins.md"
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


def _member(node: ast.stmt) -> list[str]:
    """A field, or a method's decorators and signature, as it stands in the code."""
    if isinstance(node, ast.AnnAssign):
        return [f"    {ast.unparse(node)}"]
    if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
        decorators = [f"    @{ast.unparse(decorator)}" for decorator in node.decorator_list]
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return [*decorators, f"    def {node.name}({ast.unparse(node.args)}){returns}: ..."]
    return []


def render(module: ModuleType, name: str) -> str:
    """Class `name`: its first sentence, fields and public methods."""
    (tree,) = ast.parse(inspect.getsource(getattr(module, name))).body
    assert isinstance(tree, ast.ClassDef)
    bases = f"({', '.join(ast.unparse(base) for base in tree.bases)})" if tree.bases else ""
    summary = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
    members = [line for node in tree.body for line in _member(node)]
    return "\n".join([f"class {name}{bases}:  # {summary}", *members])


def reference() -> str:
    """All of it: one block per module."""
    parts = []
    for module, names in NAMES.items():
        where = "eenn_rl.schedule" if module is layer_model else module.__name__
        body = "\n\n".join(render(module, name) for name in names)
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
