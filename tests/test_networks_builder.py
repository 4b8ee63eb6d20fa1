"""Networks built from shapes: what is trained is what is costed."""

import re
import sys
from importlib import invalidate_caches
from pathlib import Path

import pytest
import torch

from eenn_rl.backbone import Backbone, Block, Layer, check_shapes
from eenn_rl.branches import BRANCHES
from eenn_rl.errors import InvalidValueError
from eenn_rl.networks.builder import Network, all_heads, heads_of, path_of
from eenn_rl.networks.layers import QuantisedLayer, roles
from eenn_rl.networks.quantise import refreshing
from eenn_rl.zoo import BACKBONES, make_backbone
from network_samples import MIXED, architecture, small_backbone


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_layer_computes_the_shapes_and_work_it_is_costed_for(name: str) -> None:
    """Each layer of each backbone and branch puts out the size, and has the weights and MACs, of its description."""
    backbone = make_backbone(name)
    network = Network(backbone, all_heads(backbone, BRANCHES), (8,)).eval()
    network.initialise(torch.Generator().manual_seed(0))
    seen: set[str] = set()

    def check(module: torch.nn.Module, inputs: tuple[list[torch.Tensor], int], output: torch.Tensor) -> None:
        assert isinstance(module, QuantisedLayer)
        layer = module.layer
        shape = tuple(output.shape[1:])
        assert shape == ((layer.out_channels,) if layer.kind == "linear" else (layer.out_channels, *layer.out_size))
        read = inputs[0][0]
        assert read[0].numel() == layer.in_channels * layer.in_size[0] * layer.in_size[1]
        if layer.weight_elements:
            weight = module.variant(8).weight
            assert weight.numel() == layer.weight_elements
            assert layer.macs == weight.numel() * output[0].numel() // layer.out_channels
        seen.add(layer.name)

    for module in network.quantised_layers():
        module.register_forward_hook(check)
    with torch.no_grad():
        logits = network(torch.randn(2, *backbone.input_shape), (8,) * len(backbone.blocks), network.heads_at)
    assert all(head.shape == (2, backbone.num_classes) for head in logits)
    assert seen.issuperset(layer.name for layer in backbone.layers)


def test_heads_do_not_disturb_each_other() -> None:
    """The logits of a head do not depend on which other heads are asked for."""
    network = Network(small_backbone(), all_heads(small_backbone(), BRANCHES), (2, 8)).eval()
    network.initialise(torch.Generator().manual_seed(1))
    images = torch.randn(3, 1, 16, 16)
    with torch.no_grad():
        together = network(images, (8, 2, 8), network.heads_at)
        for head, logits in zip(network.heads_at, together, strict=True):
            torch.testing.assert_close(network(images, (8, 2, 8), [head])[0], logits)


def test_a_users_own_graph_runs() -> None:
    """Skips, average pools, even kernels and three-way additions work as described."""
    first = Layer("a", "conv", 1, 1, 6, (16, 16), (16, 16), (4, 4), (1, 1), (1, 1), (), "relu")
    pool = Layer("p", "pool", 1, 6, 6, (16, 16), (8, 8), (2, 2), (2, 2), reads=("a",), pooling="average")
    conv = Layer("c", "conv", 2, 6, 6, (8, 8), (8, 8), (3, 3), (1, 1), (1, 1), ("p",), "none")
    skip = Layer("s", "conv", 1, 6, 6, (16, 16), (8, 8), (1, 1), (2, 2), reads=("a",), activation="none")
    add = Layer("sum", "add", 1, 6, 6, (8, 8), (8, 8), reads=("c", "s", "p"), activation="relu")
    backbone = Backbone("own", (Block("one", (first,)), Block("two", (pool, conv, skip, add))), (1, 16, 16), 3)
    network = Network(backbone, all_heads(backbone, ("linear",)), (8,)).eval()
    network.initialise(torch.Generator().manual_seed(0))
    values = network.start(torch.rand(2, 1, 16, 16))
    for index in range(2):
        values = network.advance(values, index, 8)
    assert values["sum"].shape == (2, 6, 8, 8)
    assert "p" not in values


def test_a_connection_that_skips_a_block_is_refused() -> None:
    """A cost model follows one tensor from block to block: the error says how to describe the network instead."""
    size = (8, 8)
    blocks = tuple(
        Block(name, (Layer(name, "conv", 1, 4, 4, size, size, (1, 1), (1, 1), (0, 0), reads),))
        for name, reads in (("a", ()), ("b", ("a",)), ("c", ("b",)))
    )
    add = Block("add", (Layer("add", "add", 1, 4, 4, size, size, reads=("c", "a")),))
    with pytest.raises(InvalidValueError, match="a block may not be skipped: make one of what a connection spans"):
        Backbone("skips", (*blocks, add), (4, 8, 8), 2)
    whole = Block("whole", tuple(layer for block in (*blocks[1:], add) for layer in block.layers))
    Backbone("skips", (blocks[0], whole), (4, 8, 8), 2)


def test_the_documented_backbone_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module of docs/accuracy.md makes a network; a module that is not there is told with what to do."""
    text = (Path(__file__).parents[1] / "docs" / "accuracy.md").read_text()
    with pytest.raises(InvalidValueError, match="No module named 'my_nets': install it, or set PYTHONPATH"):
        make_backbone("my_nets:tiny")
    (tmp_path / "my_nets.py").write_text(text.split("```python\n")[1].split("```")[0])
    monkeypatch.syspath_prepend(str(tmp_path))
    backbone = make_backbone("my_nets:tiny", (1, 15, 16), 3)
    network = Network(backbone, all_heads(backbone, BRANCHES), (8,)).eval()
    network.initialise(torch.Generator().manual_seed(0))
    images = torch.rand(2, 1, 15, 16)
    assert [out.shape for out in network(images, (8, 8, 8), network.heads_at)] == [(2, 3)] * (2 * len(BRANCHES) + 1)


OWN = """
from eenn_rl.backbone import Backbone, Block, Layer


def net(*, image=None, size=None, channels=8, features=None, classes=None, more=()):
    def make(input_shape, num_classes):
        h, w = size or input_shape[1:]
        maps = (h, w), (h, w)
        first = Layer("first", "conv", 1, image or input_shape[0], 8, *maps)
        second = Layer("second", "conv", 1, channels, 8, *maps, reads=("first",))
        total = Layer("total", "add", 1, 8, 8, *maps, reads=("second", "first"))
        blocks = Block("one", (first,)), Block("two", (second, *more, total))
        into, out = features or 8 * h * w, classes or num_classes
        last = Layer("last", "linear", 1, into, out, (1, 1), (1, 1), reads=("total",))
        return Backbone("mine", blocks, input_shape, num_classes, (last,))

    return make


good = net()
narrow = net(channels=4)
grey = net(image=1)
fixed = net(size=(32, 32))
unflattened = net(features=8)
other_classes = net(classes=7)
two_reads = net(more=(Layer("more", "conv", 1, 8, 8, (24, 20), (24, 20), reads=("second", "first")),))


def other_images(input_shape, num_classes):
    return good((3, 32, 32), num_classes)


def faulty(input_shape, num_classes):
    return 1 / 0


def leaving(input_shape, num_classes):
    raise SystemExit(1)


def no_arguments():
    pass
"""
IMAGES = "layer 'first': in_channels and in_size: expected 3x24x20, the shape of the images (input_shape), found "
MISTAKES = {
    "mine:narrow": "'second': in_channels and in_size: expected 8x24x20, what layer 'first' puts out, found 4x24x20",
    "mine:grey": IMAGES + "1x24x20",
    "mine:leaving": "backbone 'mine:leaving': the function raised SystemExit: 1 (mine.py, line",
    "mine:fixed": IMAGES + "3x32x32",
    "mine:unflattened": "'last': in_channels: expected 3840, the elements of 8x24x20, what layer 'total' puts out",
    "mine:other_classes": "'last': out_channels and out_size: expected 4x1x1, a value for each class, found 7x1x1",
    "mine:two_reads": "layer 'more': reads must be one layer at most for kind conv",
    "mine:other_images": "input_shape must be (3, 24, 20), as it was asked for, found (3, 32, 32)",
    "mine:faulty": "backbone 'mine:faulty': the function raised ZeroDivisionError: division by zero (mine.py, line 34)",
    "mine:no_arguments": "expected a function of (input_shape, num_classes), found TypeError: no_arguments() takes 0",
    "mine:god": "backbone 'mine:god': unknown function of mine 'god': did you mean good",
    "importing:f": "importing importing raised ModuleNotFoundError: No module named 'absent' (importing.py, line 1)",
    "spelling:f": "importing spelling raised SyntaxError: invalid syntax (spelling.py, line 2)",
    "./mine:good": "expected package.module:function, found a path or nothing: write mine:good, with . in PYTHONPATH",
    "nets/mine.py:good": "write mine:good, with nets in PYTHONPATH",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_a_users_backbone_are_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that does not take what it reads is named, with both shapes; what raises, with file and line."""
    sources = {"mine": OWN, "importing": "import absent\n", "spelling": "\ndef f(:\n"}
    for module, text in sources.items():
        (tmp_path / f"{module}.py").write_text(text)
        monkeypatch.delitem(sys.modules, module, raising=False)
    invalidate_caches()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert make_backbone("mine:good", (3, 24, 20), 4).num_classes == 4
    with pytest.raises(InvalidValueError, match=re.escape(MISTAKES[name])) as caught:
        make_backbone(name, (3, 24, 20), 4)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("shape", [(1, 15, 17), (3, 32, 32), (3, 64, 20)])
def test_the_layers_of_shipped_backbones_fit_together(name: str, shape: tuple[int, int, int]) -> None:
    """They pass what a user's own must pass, for odd and oblong images too."""
    check_shapes(make_backbone(name, shape, 7))


def test_roles_follow_the_graph() -> None:
    """Accumulators that only an addition reads, logits and maxima are not rounded; rectified maps are unsigned."""
    backbone = small_backbone()
    found = roles(backbone.layers, [block.layers[-1].name for block in backbone.blocks])
    assert not found["body.conv"].quantised
    assert found["body.add"].quantised
    assert not found["body.add"].signed
    assert found["tail.point"].signed
    network = Network(backbone, [(0, "linear"), (2, "classifier")], (8,))
    of = {module.layer.name: module.variant(8) for module in network.quantised_layers()}
    assert not hasattr(of["exit0.linear"], "output")
    assert not hasattr(of["exit0.pool"], "output")
    assert hasattr(of["classifier.pool"], "output")
    assert of["classifier.pool"].output.signed


def test_a_pool_of_the_image_keeps_its_signs() -> None:
    """A normalised image is negative where it is dark: its average is too, not cut off at 0."""
    pool = Layer("p", "pool", 1, 1, 1, (4, 4), (2, 2), (2, 2), (2, 2), pooling="average")
    conv = Layer("c", "conv", 1, 1, 8, (2, 2), (2, 2), reads=("p",), activation="relu")
    layer = QuantisedLayer(pool, roles((pool, conv), ["c"])["p"], (8,))
    image = torch.linspace(-2, 2, 16).view(1, 1, 4, 4)
    with refreshing(layer):
        found = layer([image], 8)
    assert torch.allclose(found, torch.nn.functional.avg_pool2d(image, 2), atol=0.05)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_a_pool_with_an_activation_rectifies(pooling: str) -> None:
    """Of a signed map, too: what it writes is unsigned then."""
    conv = Layer("conv", "conv", 1, 1, 4, (8, 8), (8, 8), (3, 3), padding=(1, 1))
    pool = Layer("pool", "pool", 1, 4, 4, (8, 8), (4, 4), (2, 2), (2, 2), reads=("conv",), activation="relu",
                 pooling=pooling)  # fmt: skip
    backbone = Backbone("pooled", (Block("a", (conv,)), Block("b", (pool,))), (1, 8, 8), 2)
    network = Network(backbone, all_heads(backbone, ("linear",)), (8,)).eval()
    assert not roles(backbone.layers, ["conv", "pool"])["pool"].signed
    values = network.advance({"conv": -torch.ones(1, 4, 8, 8)}, 1, 8)
    assert torch.equal(values["pool"], torch.zeros(1, 4, 4, 4))


def test_path_and_heads_of_an_architecture() -> None:
    """Each block runs at the bits of the stage it belongs to."""
    drawn = architecture((1, "linear", 2), (2, "classifier", 8))
    assert path_of(drawn) == (2, 2, 8)
    assert heads_of(architecture(*MIXED)) == ((0, "linear"), (1, "dsconv"), (2, "classifier"))
