"""`eenn-rl backends new NAME`: writes a complete, installable, tested backend package to start from."""

import keyword
import re
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from eenn_rl import __version__
from eenn_rl.errors import EennError, check
from eenn_rl.plugins import installed_backends

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")

_FILES = {
    "pyproject.toml.in": "pyproject.toml",
    "README.md.in": "README.md",
    "backend.py.in": "{module}.py",
    "test_backend.py.in": "tests/test_{module}.py",
}
"""Template, and the path it is written to."""


def package_files(name: str) -> dict[str, str]:
    """The package for a backend called `name`: path, relative to the package's folder, and text of every file."""
    usable = bool(_NAME.fullmatch(name)) and not keyword.iskeyword(name)
    check(
        usable, "backend name", name, "lower-case letters and digits in words joined by - or _, starting with a letter"
    )
    words = re.split("[-_]", name)
    names = {
        "name": name,
        "module": "eenn_" + "_".join(words),
        "distribution": "eenn-" + "-".join(words),
        # Backend: alone, a name such as `none` or `workload` would be a keyword, or hide what the module imports.
        "class": "".join(word.capitalize() for word in words) + "Backend",
        "version": __version__,
    }
    return {path.format(**names): _filled(template, names) for template, path in _FILES.items()}


def _filled(template: str, names: dict[str, str]) -> str:
    text = (resources.files(__package__) / template).read_text("utf-8")
    for key, value in names.items():
        text = text.replace(f"@{key}@", value)
    return text


def _check_free(name: str) -> None:
    """Refuse a name whose package would clash with what is installed."""
    record, module = installed_backends().get(name), "eenn_" + name.replace("-", "_")
    if record is None and find_spec(module) is None:
        return
    found = record or f"an installed module {module}"
    raise EennError(f"backend name {name!r}: expected one that is free, found {found}: choose another")


def write_package(name: str, folder: Path | None = None) -> Path:
    """Write the package for backend `name` into `folder` (default: a new folder called like the distribution).

    Raises:
        EennError: the name cannot be one or is taken, or the folder is there already; nothing is ever overwritten.
    """
    files = package_files(name)
    _check_free(name)
    target = folder or Path("eenn-" + re.sub("_", "-", name))
    if target.exists():
        raise EennError(f"{target}: expected no such file or folder, found one: choose another folder, or remove it")
    for path, text in files.items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return target
