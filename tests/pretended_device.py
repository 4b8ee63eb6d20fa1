"""A device that computes on the processor and refuses whatever a GPU would. As a script: trains on both.

Tensors of this device hold ordinary ones. Every operation on them is done on those, unless a tensor of the
processor takes part in it, or a generator of the processor draws on the device: there a GPU raises, and so does this.
Torch's own means for devices written in Python (`_setup_privateuseone_for_python_backend`, torch 2.9) carry it.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map


def _no_grad_for_inference(*decorated: Callable[..., Any]) -> Any:
    """Instead of `torch.inference_mode`, which forbids the views that tensors of this device are."""
    return torch.no_grad()(decorated[0]) if decorated else torch.no_grad()


torch.inference_mode = _no_grad_for_inference  # type: ignore[assignment,misc]

import pytest  # noqa: E402

import network_samples as samples  # noqa: E402
from eenn_rl.networks.data import Dataset, crop_and_flip  # noqa: E402
from eenn_rl.networks.inherit import inherited  # noqa: E402
from eenn_rl.networks.measure import measure_tables  # noqa: E402
from eenn_rl.networks.supernet import train_supernet  # noqa: E402
from eenn_rl.networks.training import train_full  # noqa: E402
from eenn_rl.networks.verification import measure_network  # noqa: E402


class Device(backend_registration._DummyBackendModule):  # type: ignore[misc]
    """What torch asks of a device's module."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def is_autocast_enabled(self) -> bool:
        return False


backend_registration._setup_privateuseone_for_python_backend("far", backend_module=Device())
FAR = torch.device("far", 0)
MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
INDEXING = torch.ops.aten.index.Tensor
"""Takes indices from the processor on a GPU, too."""


class Far(torch.Tensor):
    """A tensor of this device."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls: type[Self], held: torch.Tensor) -> Self:
        return torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            layout=held.layout, device=FAR,
        )  # type: ignore[attr-defined,no-any-return]  # fmt: skip

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function: Any, _: Any, arguments: Any = (), options: Any = None) -> Any:
        return compute(function, arguments, options or {})


class Watching(TorchDispatchMode):
    """Within, tensors may be made on `FAR`, or moved there."""

    def __torch_dispatch__(self, function: Any, _: Any, arguments: Any = (), options: Any = None) -> Any:
        return compute(function, arguments, options or {})


def near(value: Any) -> Any:
    """What a tensor of `FAR` holds."""
    return value.held if isinstance(value, Far) else value


def compute(function: Any, arguments: Any, options: dict[str, Any]) -> Any:
    """Do one operation on the processor; its results lie where they would."""
    tensors = [value for value in tree_flatten((arguments, options))[0] if isinstance(value, torch.Tensor)]
    far = [value for value in tensors if isinstance(value, Far)]
    elsewhere = [value for value in tensors if not isinstance(value, Far) and value.dim() > 0]
    if far and elsewhere and function not in MOVES and function is not INDEXING:
        raise RuntimeError(f"{function}: tensors of two devices, {[tuple(value.shape) for value in tensors]}")
    wanted = options.get("device")
    result_far = bool(far) if wanted is None else torch.device(wanted).type == FAR.type
    if wanted is not None:
        options = {**options, "device": torch.device("cpu")}
    if result_far and options.get("generator") is not None:
        raise RuntimeError(f"{function}: a generator of the processor draws on {FAR}")
    result = function(*tree_map(near, arguments), **tree_map(near, options))
    same = {id(value.held): value for value in far}

    def placed(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not result_far:
            return value
        return same[id(value)] if id(value) in same else Far(value)

    return tree_map(placed, result)


def everything(dataset: Dataset, folder: Path) -> list[torch.Tensor]:
    """Shared weights in two pieces, tables, a network with shared weights, two trained in full: what they say."""
    settings = {"seed": 3, "branches": samples.BRANCHES, "checkpoint_dir": folder}
    with pytest.raises(KeyboardInterrupt):
        train_supernet(samples.small_backbone(), dataset, samples.QUICK, progress=samples.StopAt(5), **settings)  # type: ignore[arg-type]
    shared = train_supernet(samples.small_backbone(), dataset, samples.QUICK, **settings)  # type: ignore[arg-type]
    tables = measure_tables(shared, dataset)
    drawn = samples.architecture(*samples.MIXED)
    patient = replace(samples.FULL, begin="plain", patience=2)
    networks = [
        inherited(shared, drawn, dataset),
        train_full(drawn, dataset, samples.FULL, 5, checkpoint=folder / "shared", shared=shared),
        train_full(drawn, dataset, patient, 5, checkpoint=folder / "plain"),
    ]
    measured = [measure_network(network, dataset, folder) for network in networks]
    levels = [outcome.levels for found in measured for outcome in (found.validation, found.test)]
    return [torch.from_numpy(values) for values in (tables.confidence, tables.correct, *levels)]


def main() -> None:
    """Train on the processor and on `FAR`, look at both kinds of view, and print how much is the same."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    digits = samples.digits()
    images = torch.randint(256, (96, 1, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    mirrored = replace(digits, train_x=images, view=crop_and_flip)
    with TemporaryDirectory() as folder:
        here = everything(mirrored, Path(folder))
    with Watching(), TemporaryDirectory() as folder:
        there = everything(mirrored.to(FAR), Path(folder))
    here.append(digits.view(digits.train_x, torch.arange(9), torch.Generator().manual_seed(0)))
    with Watching():
        far = digits.to(FAR).train_x
        there.append(digits.view(far, torch.arange(9).to(FAR), torch.Generator().manual_seed(0)).cpu())
    same = [torch.equal(a, b) for a, b in zip(here, there, strict=True)]
    sys.stdout.write(f"{sum(same)} of {len(same)} the same\n")
    with Watching(), pytest.raises(RuntimeError, match="two devices"):
        images.to(FAR) + images
    sys.stdout.write("mixed devices are refused\n")


if __name__ == "__main__":
    main()
