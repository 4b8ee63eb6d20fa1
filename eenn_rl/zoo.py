"""The shipped backbones, as shapes: `make_backbone(name, input_shape, num_classes)`. No torch here.

Each backbone is described once, here; `eenn_rl.networks` builds the trainable network from this description.
"""

from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import PurePath
from typing import Literal

from eenn_rl.backbone import Backbone, Block, Layer, Shape, check_shapes
from eenn_rl.branches import pooled_linear
from eenn_rl.errors import EennError, InvalidValueError, check, one_line, raised, unknown_name

Activation = Literal["none", "relu", "relu6"]


class _Chain:
    """Builds layers one after another, keeping track of the feature map's shape."""

    def __init__(self, shape: Shape) -> None:
        self.shape, self.last, self.layers = shape, "", list[Layer]()

    def conv(self, name: str, channels: int, kernel: int, stride: int = 1, activation: Activation = "relu") -> "_Chain":
        """A convolution with `kernel // 2` padding; a depthwise one where `channels` is 0."""
        depthwise = channels == 0
        into, height, width = self.shape
        channels = into if depthwise else channels
        pad = kernel // 2
        size = ((height + 2 * pad - kernel) // stride + 1, (width + 2 * pad - kernel) // stride + 1)
        self.layers.append(
            Layer(
                name, "depthwise" if depthwise else "conv", into if depthwise else 1, into, channels,
                (height, width), size, (kernel, kernel), (stride, stride), (pad, pad),
                (self.last,) if self.last else (), activation,
            )
        )  # fmt: skip
        self.shape, self.last = (channels, *size), name
        return self

    def add(self, name: str, other: str, activation: Activation = "none") -> "_Chain":
        """The sum of the last layer's output and that of `other`."""
        channels, *size = self.shape
        height, width = size
        self.layers.append(
            Layer(name, "add", 1, channels, channels, (height, width), (height, width), reads=(self.last, other),
                  activation=activation)
        )  # fmt: skip
        self.last = name
        return self

    def block(self, name: str) -> Block:
        """The layers since the previous block."""
        block = Block(name, tuple(self.layers))
        self.layers = []
        return block


def _residual(chain: _Chain, name: str, channels: int, stride: int) -> Block:
    """Two 3x3 convolutions and a shortcut (He et al. 2016), 1x1 where the shape changes."""
    start, shape = chain.last, chain.shape
    chain.conv(f"{name}.conv1", channels, 3, stride).conv(f"{name}.conv2", channels, 3, activation="none")
    if stride != 1 or shape[0] != channels:
        main, out = chain.last, chain.shape
        chain.shape, chain.last = shape, start
        chain.conv(f"{name}.shortcut", channels, 1, stride, activation="none")
        start, chain.last, chain.shape = chain.last, main, out
    return chain.add(f"{name}.add", start, "relu").block(name)


def resnet8(input_shape: Shape, num_classes: int) -> Backbone:
    """MLPerf Tiny's image-classification network (Banbury et al. 2021): a stem and three residual stacks."""
    chain = _Chain(input_shape)
    stem = chain.conv("stem.conv", 16, 3).block("stem")
    stacks = [_residual(chain, f"stack{i}", c, s) for i, (c, s) in enumerate(((16, 1), (32, 2), (64, 2)), start=1)]
    return Backbone("resnet8", (stem, *stacks), input_shape, num_classes)


def resnet20(input_shape: Shape, num_classes: int) -> Backbone:
    """The 20-layer residual network for CIFAR (He et al. 2016), shortcuts of kind B (projection)."""
    chain = _Chain(input_shape)
    blocks = [chain.conv("stem.conv", 16, 3).block("stem")]
    for stack, channels in enumerate((16, 32, 64), start=1):
        for unit in (1, 2, 3):
            stride = 2 if stack > 1 and unit == 1 else 1
            blocks.append(_residual(chain, f"stack{stack}_{unit}", channels, stride))
    return Backbone("resnet20", tuple(blocks), input_shape, num_classes)


_MOBILENETV2 = (
    (1, 16, 1, 3), (6, 24, 1, 3), (6, 24, 1, 3), (6, 32, 1, 3), (6, 32, 1, 3), (6, 64, 2, 3), (6, 64, 1, 3),
    (6, 96, 1, 7), (6, 96, 1, 7), (6, 160, 2, 7), (6, 160, 1, 7), (6, 320, 1, 7),
)  # fmt: skip
"""(expansion, channels, stride, depthwise kernel) of the twelve blocks of arXiv 2512.04705."""


def mobilenetv2(input_shape: Shape, num_classes: int) -> Backbone:
    """The backbone of arXiv 2512.04705: a stem of 32 channels and twelve inverted-residual blocks.

    Its classifier is that paper's head: max-pool to 4x4 and a linear layer.
    """
    chain = _Chain(input_shape).conv("stem.conv", 32, 3, activation="relu6")
    blocks = []
    for index, (expansion, channels, stride, kernel) in enumerate(_MOBILENETV2):
        name, start, into = f"block{index}", chain.last, chain.shape[0]
        if expansion > 1:
            chain.conv(f"{name}.expand", into * expansion, 1, activation="relu6")
        chain.conv(f"{name}.depthwise", 0, kernel, stride, "relu6")
        chain.conv(f"{name}.project", channels, 1, activation="none")
        if stride == 1 and into == channels:
            chain.add(f"{name}.add", start)
        blocks.append(chain.block(name))
    classifier = pooled_linear("classifier", chain.shape, chain.last, num_classes)
    return Backbone("mobilenetv2", tuple(blocks), input_shape, num_classes, classifier)


def mobilenetv1_025(input_shape: Shape, num_classes: int) -> Backbone:
    """MobileNetV1 of width 0.25 (Howard et al. 2017), MLPerf Tiny's visual-wake-words network: 13 separable blocks."""
    chain = _Chain(input_shape).conv("stem.conv", 8, 3, 2)
    widths = (8, 16, 32, 32, 64, 64, *(128,) * 6, 256, 256)
    blocks = []
    for index, (before, after) in enumerate(pairwise(widths)):
        stride = 2 if after > before and index > 0 else 1
        chain.conv(f"block{index}.depthwise", 0, 3, stride).conv(f"block{index}.pointwise", after, 1)
        blocks.append(chain.block(f"block{index}"))
    return Backbone("mobilenetv1_025", tuple(blocks), input_shape, num_classes)


BACKBONES: dict[str, Callable[[Shape, int], Backbone]] = {
    "resnet8": resnet8,
    "resnet20": resnet20,
    "mobilenetv2": mobilenetv2,
    "mobilenetv1_025": mobilenetv1_025,
}


def make_backbone(name: str, input_shape: Shape = (3, 32, 32), num_classes: int = 10) -> Backbone:
    """The backbone `name` for images of `input_shape` (channels, height, width).

    `name` is a shipped one, or the user's own as ``package.module:function``: the function is called with
    `input_shape` and `num_classes` and returns the blocks (or a whole `Backbone`). Raises `InvalidValueError` where
    there is none, it raises, or its layers do not fit together.
    """
    if ":" in name:
        return _own_backbone(name, input_shape, num_classes)
    if name not in BACKBONES:
        raise unknown_name("backbone", name, BACKBONES, "your own as package.module:function")
    return BACKBONES[name](input_shape, num_classes)


def _own_backbone(name: str, input_shape: Shape, num_classes: int) -> Backbone:
    what = f"backbone {name!r}"
    made = _called(_function(name, what), what, input_shape, num_classes)
    if not isinstance(made, Backbone):
        if not isinstance(made, list | tuple) or not all(isinstance(block, Block) for block in made):
            raise InvalidValueError(
                f"{what}: expected it to return blocks (eenn_rl.backbone.Block), found {made!r:.80}"
            )
        made = Backbone(name, tuple(made), input_shape, num_classes)
    for field, asked in (("input_shape", input_shape), ("num_classes", num_classes)):
        check(getattr(made, field) == asked, f"{what}: {field}", getattr(made, field), f"{asked}, as it was asked for")
    check_shapes(made)
    return made


def _function(name: str, what: str) -> Callable[..., object]:
    """The function that ``package.module:function`` names."""
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in module.split(".")) or module.endswith(".py"):
        near = PurePath(module.removesuffix(".py"))
        hint = f": write {near.name}:{function}, with {near.parent} in PYTHONPATH" if near.name.isidentifier() else ""
        raise InvalidValueError(f"{what}: expected package.module:function, found a path or nothing{hint}")
    try:
        home = import_module(module)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise InvalidValueError(
                f"{what}: expected an importable module with a function of (input_shape, num_classes), found "
                f"{one_line(error)}: install it, or set PYTHONPATH to its folder"
            ) from error
        raise InvalidValueError(f"{what}: importing {module} {raised(error)}") from error
    found = getattr(home, function, None)
    if not callable(found):
        known = [key for key, value in vars(home).items() if getattr(value, "__module__", "") == module]
        raise InvalidValueError(f"{what}: {unknown_name(f'function of {module}', function, known)}")
    return found  # type: ignore[no-any-return]


def _called(function: Callable[..., object], what: str, input_shape: Shape, num_classes: int) -> object:
    """What `function` returns; a stranger's exceptions become one line that says where they arose."""
    try:
        return function(input_shape, num_classes)
    except EennError:
        raise
    except (Exception, SystemExit) as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # it was not even entered
            raise InvalidValueError(
                f"{what}: expected a function of (input_shape, num_classes), found {one_line(error)}"
            ) from error
        raise InvalidValueError(f"{what}: the function {raised(error)}") from error
