"""The architecture file: written, read back, refused where it is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from eenn_rl.architecture import Architecture, Exit
from eenn_rl.architecture_file import architecture_from_json, architecture_to_json, read_architecture
from eenn_rl.errors import EennError, InputFileError
from eenn_rl.zoo import make_backbone

EXITS = (Exit(1, "dsconv", 4, 0, 1), Exit(3, "classifier", 8, 2, 2))


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 16, 16)])
def test_what_is_written_is_read_back(shape: tuple[int, int, int]) -> None:
    """A shipped backbone is named only, and comes back for the same images."""
    architecture = Architecture(make_backbone("resnet8", shape), EXITS)
    data = json.loads(json.dumps(architecture_to_json(architecture)))
    assert data["backbone"] == {"name": "resnet8", "input_shape": list(shape), "num_classes": 10}
    assert architecture_from_json(data, "x") == architecture


def test_a_backbone_that_is_not_shipped_is_written_out() -> None:
    """A network of the user's own travels with its layers."""
    shipped = make_backbone("resnet8")
    own = type(shipped)("mine", shipped.blocks, shipped.input_shape, shipped.num_classes)
    architecture = Architecture(own, EXITS)
    assert architecture_from_json(architecture_to_json(architecture), "x") == architecture


def test_a_bare_name_means_cifar_images() -> None:
    """`"backbone": "resnet8"` is enough."""
    data = {
        "backbone": "resnet8",
        "exits": [{"location": 3, "branch": "classifier", "bits": 8, "core": 0, "branch_core": 0}],
    }
    assert architecture_from_json(data, "x").backbone.input_shape == (3, 32, 32)


def test_a_file_never_names_code_to_run(tmp_path: Path) -> None:
    """``package.module:function`` is for the command line: in a file it is refused, and nothing is called."""
    proof = tmp_path / "proof"
    backbone = {"name": "subprocess:call", "input_shape": ["touch", str(proof)], "num_classes": 10}
    data = {"backbone": backbone, "exits": [{"location": 1, "branch": "conv", "bits": 4, "core": 0, "branch_core": 1}]}
    with pytest.raises(InputFileError, match="shipped backbone"):
        architecture_from_json(data, "file")
    assert not proof.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1, 2], "expected an architecture with keys backbone and exits"),
        ({"backbone": "resnet9", "exits": []}, "did you mean resnet8"),
        ({"backbone": "resnet8", "exits": []}, "at least one exit"),
        ({"backbone": "resnet8", "exits": [{"location": 3}]}, "exits: 0.branch: Field required"),
        ({"backbone": {"name": "resnet8", "input_shape": 3}, "exits": []}, r"expected input_shape \[channels"),
    ],
)
def test_what_is_no_architecture_is_told_in_one_line(tmp_path: Path, data: Any, message: str) -> None:
    """The line names the file, the key and what was expected."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    with pytest.raises(EennError, match=message) as caught:
        read_architecture(path)
    assert "\n" not in str(caught.value)
    assert "a.json" in str(caught.value)
