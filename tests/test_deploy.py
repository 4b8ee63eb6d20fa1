"""EarlyExitSession: the same exits and classes as the trained torch network, and damaged folders refused in a line."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the optional package onnx is not installed")
pytest.importorskip("onnxruntime", reason="the optional package onnxruntime is not installed")
torch = pytest.importorskip("torch")

from eenn_rl.deploy import EarlyExitSession, confidence_of  # noqa: E402
from eenn_rl.errors import EennError, InputFileError, InvalidValueError  # noqa: E402
from eenn_rl.export_onnx import export_run, exported_workload  # noqa: E402
from eenn_rl.images import ImageForm, ImageRecord  # noqa: E402
from eenn_rl.networks.confidence import confidence  # noqa: E402
from eenn_rl.networks.data import Dataset, load_dataset  # noqa: E402
from eenn_rl.run_folder import write_json  # noqa: E402
from eenn_rl.serialization import to_json  # noqa: E402
from eenn_rl.stored_run import open_stored_run  # noqa: E402
from eenn_rl.tables import CONFIDENCE_RULES, ConfidenceRule  # noqa: E402
from small_run import scratch, small_run  # noqa: E402
from torch_reference import exits_and_labels  # noqa: E402

ARCHITECTURES = (1, 2)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def number(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def folder_of(number: int) -> Path:
    folder = scratch() / f"deployed{number}"
    if not folder.exists():
        export_run(small_run(), folder, number)
    return folder


@pytest.fixture(scope="module")
def session(number: int) -> EarlyExitSession:
    return EarlyExitSession(folder_of(number))


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder_of(1), tmp_path / "damaged"))


def test_exits_and_classes_are_torchs_on_the_whole_test_split(
    session: EarlyExitSession, dataset: Dataset, number: int
) -> None:
    """On every test image the really trained network leaves at the same exit, with the same class: 99.9% at least."""
    run = open_stored_run(small_run())
    exits, labels = exits_and_labels(run, run.verified(number), dataset)
    found = session.run(dataset.test_x.numpy())
    assert (found.exits == exits).mean() >= 0.999
    assert (found.labels == labels).mean() >= 0.999


def test_accuracy_and_rates_are_those_that_verify_reported(
    session: EarlyExitSession, dataset: Dataset, number: int
) -> None:
    """On the test split, to a thousandth."""
    verified = open_stored_run(small_run()).verified(number)
    found = session.run(dataset.test_x.numpy())
    accuracy = (found.labels == dataset.test_y.numpy()).mean()
    assert accuracy == pytest.approx(verified.measured.accuracy, abs=1e-3)
    assert found.rates(session.exits) == pytest.approx(verified.measured.exit_rates, abs=1e-3)


def test_single_inputs_equal_batches(session: EarlyExitSession, dataset: Dataset) -> None:
    """One by one, in batches of any size, or all at once: the same answers."""
    images = dataset.test_x[:60].numpy()
    whole, small = session.run(images), session.run(images, batch=7)
    single = [session.run_one(image) for image in images]
    assert whole.labels.tolist() == small.labels.tolist() == [item.label for item in single]
    assert whole.exits.tolist() == small.exits.tolist() == [item.exit for item in single]
    assert [item.confidence for item in single] == pytest.approx(whole.confidence.tolist(), abs=1e-5)


def test_no_input_gives_no_output(session: EarlyExitSession) -> None:
    """An empty batch is answered with empty arrays."""
    assert len(session.run(np.zeros((0, 1, 16, 16), np.uint8))) == 0


@pytest.mark.parametrize(
    "images", [np.zeros((2, 1, 16, 16)), np.zeros((1, 16, 16), np.uint8), np.zeros((2, 3, 16, 16), np.uint8)]
)
def test_inputs_of_another_shape_or_type_are_refused(images: np.ndarray) -> None:
    """The error says what was expected and what was found."""
    with pytest.raises(InvalidValueError, match=r"images must be uint8 of shape \(N, 1, 16, 16\), found"):
        EarlyExitSession(folder_of(1)).run(images)


class Elsewhere:
    """Like a tensor on a device, which numpy cannot read."""

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def test_what_cannot_be_asked_is_one_line() -> None:
    """Ragged lists, arrays that numpy cannot read, and counts that are none: what was expected and what was found."""
    session, images = EarlyExitSession(folder_of(1)), np.zeros((5, 1, 16, 16), np.uint8)
    expected = r"must be uint8 of shape \(N, 1, 16, 16\), found"
    for call, told in (
        (lambda: session.run([[1, 2], [3]]), rf"^images {expected} list: ValueError: .*inhomogeneous"),
        (lambda: session.run(Elsewhere()), rf"^images {expected} Elsewhere: TypeError: can't convert"),
        (lambda: session.run(images, batch=2.0), r"^batch must be a whole number of at least 1, found 2\.0$"),
        (lambda: session.run(images, batch=0), r"^batch must be a whole number of at least 1, found 0$"),
        (lambda: EarlyExitSession(folder_of(1), threads=1.5), r"^threads must be a whole number .*, found 1\.5$"),
        (lambda: session.run_one(images), r"^image must be .* \(1, 16, 16\), found uint8 \(5, 1, 16, 16\)$"),
        (lambda: session.run_one(images[0, 0]), r"^image must be .* \(1, 16, 16\), found uint8 \(16, 16\)$"),
    ):
        with pytest.raises(InvalidValueError, match=told) as caught:
            call()
        assert "\n" not in str(caught.value)
    counted = EarlyExitSession(folder_of(1), threads=np.int64(1)).run(images, batch=np.uint8(2))
    assert counted.labels.tolist() == session.run(images).labels.tolist()


@pytest.mark.parametrize("rule", CONFIDENCE_RULES)
def test_confidence_is_that_of_training(rule: ConfidenceRule) -> None:
    """Every rule gives what the torch one gives, at any temperature."""
    logits = np.random.default_rng(0).normal(0, 4, (500, 10)).astype(np.float32)
    for temperature in (0.5, 1.0, 1.7):
        wanted = confidence(torch.from_numpy(logits), rule, temperature).numpy()
        assert np.allclose(confidence_of(logits, rule, temperature), wanted, atol=2e-6)


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def outside(data: dict[str, Any]) -> None:
    data["stages"][0]["backbone"]["file"] = "../stage0.onnx"


def other_bits(data: dict[str, Any]) -> None:
    data["stages"][0]["bits"] = 12 - data["stages"][0]["bits"]


def other_classes(data: dict[str, Any]) -> None:
    data["num_classes"] = 11


def other_input(data: dict[str, Any]) -> None:
    data["input"]["shape"][1] = 3


def other_input_type(data: dict[str, Any]) -> None:
    for info in (data["input"], *data["stages"][0]["backbone"]["inputs"]):
        info["dtype"] = "int8"


def other_logits(data: dict[str, Any]) -> None:
    data["stages"][0]["branch"]["outputs"][0]["dtype"] = "int8"


def other_type(data: dict[str, Any]) -> None:
    name = data["stages"][0]["backbone"]["outputs"][0]["name"]
    for stage in data["stages"]:
        for info in (*stage["backbone"]["inputs"], *stage["branch"]["inputs"], *stage["backbone"]["outputs"]):
            if info["name"] == name:
                info["dtype"] = "float32"


def other_opset(data: dict[str, Any]) -> None:
    data["opset"] = 3


def cold(data: dict[str, Any]) -> None:
    data["stages"][0]["temperature"] = 1e-300


def unknown_key(data: dict[str, Any]) -> None:
    data["stages"][0]["threshold"] = "high"


def newer(data: dict[str, Any]) -> None:
    data["format"] = "eenn-rl onnx export 2"


def other_core(data: dict[str, Any]) -> None:
    data["stages"][0]["core"] = 70


def unlinked(data: dict[str, Any]) -> None:
    data["stages"][0]["branch"]["inputs"][0]["name"] = "elsewhere.out"


EDITS: dict[Callable[[dict[str, Any]], None], str] = {
    outside: "graph file",
    other_bits: "not those of its architecture",
    other_classes: "expected 11 logits",
    other_input: "not that of its architecture",
    other_input_type: "not that of its architecture",
    other_logits: "expected 10 logits of float32, found .*int8",
    other_type: "that the manifest names, found .*int8",
    other_opset: "expected operator set 3 that the manifest names, found",
    cold: "stage temperature must be between 1e-6 and 1e6, found 1e-300",
    unknown_key: "threshold",
    newer: "update eenn-rl",
    other_core: "stage core",
    unlinked: "no graph before it hands on",
}


@pytest.mark.parametrize("change", EDITS, ids=lambda change: change.__name__)
def test_manifests_that_do_not_fit_are_refused(damaged: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Each kind of mismatch ends in one line that names the file."""
    edit_manifest(damaged, change)
    with pytest.raises(InputFileError, match=EDITS[change]) as caught:
        EarlyExitSession(damaged)
    assert str(damaged) in str(caught.value)
    assert "\n" not in str(caught.value)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def remove(path: Path) -> None:
    path.unlink()


def link(path: Path) -> None:
    target = path.with_suffix(".moved")
    path.rename(target)
    path.symlink_to(target)


@pytest.mark.parametrize("damage", [cut, flip, remove, link])
def test_damaged_graphs_are_refused(damaged: Path, damage: Callable[[Path], None]) -> None:
    """A graph that is not, bit for bit, the one that was written is never loaded."""
    damage(damaged / "stage0.onnx")
    with pytest.raises(InputFileError, match=r"stage0\.onnx.*export it again"):
        EarlyExitSession(damaged)


def edit_graph(folder: Path, change: Callable[[Any], None], part: str = "backbone") -> None:
    """Change the first stage's graph, and put its new checksum into the manifest."""

    def sign(data: dict[str, Any]) -> None:
        graph = data["stages"][0][part]
        model = onnx.load(str(folder / graph["file"]))
        change(model)
        content = model.SerializeToString()
        (folder / graph["file"]).write_bytes(content)
        graph |= {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}

    edit_manifest(folder, sign)


def foreign_operator(model: Any) -> None:
    one = onnx.helper.make_node("Constant", [], ["one"], value_float=1.0)
    output = onnx.helper.make_tensor_value_info("one", onnx.TensorProto.FLOAT, [])
    branches = {name: onnx.helper.make_graph([one], name, [], [output]) for name in ("then_branch", "else_branch")}
    model.graph.initializer.append(onnx.helper.make_tensor("yes", onnx.TensorProto.BOOL, [], [True]))
    model.graph.node.insert(0, onnx.helper.make_node("If", ["yes"], ["odd"], name="odd", **branches))


def function(model: Any) -> None:
    opset = [onnx.helper.make_opsetid("", 21)]
    body = [onnx.helper.make_node("Identity", ["x"], ["y"])]
    model.functions.append(onnx.helper.make_function("own", "Odd", ["x"], ["y"], body, opset))


def outer_file(model: Any) -> None:
    tensor = onnx.TensorProto(name="secret", data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["secret"], name="odd", value=tensor))


@pytest.mark.parametrize("change", [foreign_operator, function, outer_file])
def test_graphs_that_no_export_writes_are_not_run(damaged: Path, change: Callable[[Any], None]) -> None:
    """Control flow, functions and data in other files are refused, even with the right checksums in the manifest."""
    (damaged / "secret.bin").write_bytes(b"1234")
    edit_graph(damaged, change)
    with pytest.raises(InputFileError, match=r"stage0\.onnx.*(no export writes|expected an ONNX model)") as caught:
        EarlyExitSession(damaged)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputFileError):
        exported_workload(damaged)


def float_pixels(model: Any) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def odd_pixels(model: Any) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.STRING


def older_opset(model: Any) -> None:
    model.opset_import[0].version = 20


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (float_pixels, r"expected the inputs .*'uint8'.* that the manifest names, found .*'float32'"),
        (odd_pixels, r"expected the inputs .*'uint8'.* that the manifest names, found .*'ONNX type 8'"),
        (older_opset, r"expected operator set 21 that the manifest names, found \[\('', 20\)\]"),
    ],
)
def test_graphs_of_other_types_than_the_manifests_are_refused(
    damaged: Path, change: Callable[[Any], None], told: str
) -> None:
    """Element types and the operator set of a graph are those that its manifest tells a device."""
    edit_graph(damaged, change)
    with pytest.raises(InputFileError, match=r"stage0\.onnx: (" + told + "|expected an ONNX model)") as caught:
        EarlyExitSession(damaged)
    assert "\n" not in str(caught.value)


def two_rows_more(model: Any) -> None:
    """Logits to which a constant of two rows is added: no batch but of one or two inputs goes through."""
    last = model.graph.node[-1]
    logits, last.output[0] = last.output[0], "before"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((2, 10), np.float32), "rows"))
    model.graph.node.append(onnx.helper.make_node("Add", ["before", "rows"], [logits], name="more"))


def test_what_onnxruntime_says_of_a_run_is_one_line(damaged: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It names the graph, and nothing of onnxruntime's own gets through, neither exception nor log."""
    edit_graph(damaged, two_rows_more, "branch")
    session = EarlyExitSession(damaged)
    with pytest.raises(InputFileError, match=r"exit0\.onnx: onnxruntime cannot run it \(.*more.*\)$") as caught:
        session.run(np.zeros((3, 1, 16, 16), np.uint8))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_random_damage_never_gets_past_the_checks(damaged: Path) -> None:
    """Of 300 manifests with bytes changed at random each loads unchanged in meaning or is refused with an EennError."""
    path = damaged / "manifest.json"
    original = path.read_bytes()
    rng = np.random.default_rng(7)
    refused = multiline = 0
    for _ in range(300):
        content = bytearray(original)
        for place in rng.integers(0, len(content), int(rng.integers(1, 6))):
            content[place] = int(rng.integers(0, 256))
        path.write_bytes(bytes(content))
        try:
            EarlyExitSession(damaged)
        except EennError as error:
            message = str(error)
            refused += 1
            multiline += "\n" in message
    assert multiline == 0
    assert refused > 200


@pytest.mark.parametrize("what", ["nothing", "a file", "an empty folder"])
def test_folders_of_another_kind_are_refused(tmp_path: Path, what: str) -> None:
    """The error says what was found."""
    path = tmp_path / "x"
    if what == "a file":
        path.write_text("no folder")
    elif what == "an empty folder":
        path.mkdir()
    with pytest.raises(InputFileError, match=r"export"):
        EarlyExitSession(path)


ROOT = Path(__file__).parent.parent
IMPORTED = {"PyYAML": "yaml", "scikit-learn": "sklearn"}
"""What a package is imported as, where that is not its name."""


def name_of(requirement: str) -> str:
    return re.split(r"[><=;]", requirement)[0].strip()


def test_running_needs_only_what_the_docs_install_and_writes_nothing(tmp_path: Path) -> None:
    """A fresh process classifies where all other dependencies are missing, and leaves the user's home as it was."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["deploy"]]
    line = next(line for line in (ROOT / "docs" / "deployment.md").read_text().splitlines() if "pip install 'n" in line)
    installed = re.findall(r"'([^']+)'", line)
    assert set(installed) <= set(asked)
    others = {name_of(requirement) for requirement in asked} - {name_of(requirement) for requirement in installed}
    missing = {IMPORTED.get(name, name.replace("-", "_")) for name in others}
    assert missing >= {"torch", "torchvision", "stable_baselines3", "gymnasium", "h5py", "rich"}
    code = f"""if True:
        import sys
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {missing!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Missing())
        import numpy
        from eenn_rl.deploy import EarlyExitSession
        EarlyExitSession(sys.argv[1]).run(numpy.zeros((3, 1, 16, 16), numpy.uint8))"""
    home = tmp_path / "home"
    home.mkdir()
    env = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder_of(1))], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not list(home.iterdir())


EXAMPLE = ROOT / "examples" / "deploy" / "classify.py"


def example(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(EXAMPLE), *words], capture_output=True, text=True, check=False)


def test_the_example_runs(tmp_path: Path) -> None:
    """From a finished run to a running network in some thirty lines: it prints the accuracy that `verify` measured."""
    assert len([line for line in EXAMPLE.read_text().splitlines() if line.strip()]) <= 30
    done = example(str(small_run()), str(tmp_path / "deployed"))
    assert done.returncode == 0, done.stderr
    accuracy = open_stored_run(small_run()).verified(1).measured.accuracy
    assert abs(float(done.stdout.split("accuracy ")[1].split("%")[0]) / 100 - accuracy) < 1.1e-3


def test_the_example_takes_no_other_runs_folder(tmp_path: Path) -> None:
    """A folder that holds an export, of whatever run, is refused; mistakes are one line, `--help` is help."""
    (tmp_path / "deployed").mkdir()
    (tmp_path / "deployed" / "manifest.json").write_text("{}")
    for words, expected in (
        ((str(small_run()), str(tmp_path / "deployed")), "exists already: expected a new folder"),
        ((str(tmp_path / "nothing"),), "expected a run folder, found nothing"),
    ):
        done = example(*words)
        assert done.returncode == 2
        assert done.stderr.startswith("classify.py: error: ")
        assert done.stderr.count("\n") == 1
        assert expected in done.stderr
    shown = example("--help")
    assert shown.returncode == 0
    assert "usage: classify.py" in shown.stdout


NAMES = tuple(f"class <{label}>" for label in range(10))


def test_names_of_classes_come_with_the_network(tmp_path: Path) -> None:
    """A run on a folder of images hands its names and their form on; others, and older manifests, know none."""
    assert EarlyExitSession(folder_of(1)).classes is None
    run = Path(shutil.copytree(small_run(), tmp_path / "run"))
    form = ImageForm("grey", 16, 16)
    write_json(run / "images.json", to_json(ImageRecord("0" * 64, 80, NAMES, form)))
    export_run(run, tmp_path / "named")
    session = EarlyExitSession(tmp_path / "named")
    assert session.classes == NAMES
    assert session.manifest.image == form
    path = tmp_path / "named" / "manifest.json"
    data = json.loads(path.read_text())
    write_json(path, {key: value for key, value in data.items() if key not in ("classes", "image")})
    assert EarlyExitSession(tmp_path / "named").classes is None
    write_json(path, {**data, "classes": ["cat", "dog"]})
    with pytest.raises(InputFileError, match=r"manifest.json: classes must be 10 names, found \('cat', 'dog'\)"):
        EarlyExitSession(tmp_path / "named")
