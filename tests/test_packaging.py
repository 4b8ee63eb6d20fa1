"""What is published holds what is needed to work on it."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_source_distribution_holds_what_contributing_names(tmp_path: Path) -> None:
    """Its hooks and its continuous integration, which begin with a dot, like all else at the root of the repository."""
    pytest.importorskip("hatchling", reason="hatchling, of the extra dev, is not installed")
    words = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (made,) = tmp_path.iterdir()
    with tarfile.open(made) as archive:
        held = {name.partition("/")[2]: archive.getmember(name) for name in archive.getnames()}
    assert held.keys() >= {".pre-commit-config.yaml", ".ci/run", "CONTRIBUTING.md", "README.md", "pyproject.toml"}
    assert held[".ci/run"].mode & 0o100, "it is a program"
