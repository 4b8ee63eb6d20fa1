"""Data sets: disjoint splits, augmentation within a split, folders and what is wrong with them."""

import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from eenn_rl.errors import EennError, InputFileError, InvalidValueError
from eenn_rl.networks import data
from eenn_rl.networks.data import Dataset, crop_and_flip, device_of, load_dataset
from eenn_rl.networks.digits import load_originals, render, split_indices
from eenn_rl.networks.folder import EXTENSIONS, form_of
from eenn_rl.networks.torchvision_compat import datasets


@pytest.fixture(scope="module")
def whole() -> Dataset:
    return load_dataset("digits")


def test_splits_share_no_original_and_cover_all() -> None:
    """The 1,797 originals fall into three disjoint splits, each with every class in like share."""
    parts = load_originals()
    indices = [set(part.indices.tolist()) for part in parts]
    assert sum(len(part) for part in indices) == len(set.union(*indices)) == 1797
    for part in parts:
        shares = np.bincount(part.labels.numpy(), minlength=10) / len(part.labels)
        assert shares.min() > 0.08
        assert shares.max() < 0.12


def test_images_of_a_split_show_originals_of_that_split_only(whole: Dataset) -> None:
    """Validation and test images name originals of their own split; the same for every call."""
    train, validation, test = load_originals()
    assert set(whole.validation_groups.tolist()) == set(validation.indices.tolist())
    assert set(whole.test_groups.tolist()) == set(test.indices.tolist())
    assert torch.equal(whole.train_x.squeeze(1).float() / 16, train.images)
    again = load_dataset("digits")
    assert torch.equal(again.test_x, whole.test_x)
    assert torch.equal(again.validation_x, whole.validation_x)


def test_training_images_are_new_each_time(whole: Dataset) -> None:
    """A view depends on its generator alone, and looks at nothing but the chosen originals."""
    chosen = torch.arange(5)

    def view(seed: int, chosen: torch.Tensor = chosen) -> torch.Tensor:
        return whole.view(whole.train_x, chosen, torch.Generator().manual_seed(seed))

    assert torch.equal(view(1), view(1))
    assert not torch.equal(view(1), view(2))
    blank = whole.train_x.clone()
    blank[5:] = 0
    assert torch.equal(whole.view(blank, chosen, torch.Generator().manual_seed(1)), view(1))
    assert view(1).shape == (5, *whole.input_shape)
    assert view(1).dtype == torch.uint8


def test_the_canvas_is_graded() -> None:
    """Some renderings are nearly clean and some are covered with noise."""
    _, validation, _ = load_originals()
    blank = torch.zeros(400, 8, 8)
    noise = render(blank, torch.Generator().manual_seed(0)).float().std((1, 2, 3))
    assert noise.min() < 3
    assert noise.max() > 25
    assert len(validation.labels) == 360


def test_normalised_images_have_zero_mean(whole: Dataset) -> None:
    """Mean and deviation are those of training images."""
    shown = whole.normalise(whole.view(whole.train_x, torch.arange(1000), torch.Generator().manual_seed(0)))
    assert abs(float(shown.mean())) < 0.05
    assert float(shown.std()) == pytest.approx(1, abs=0.05)


def test_stratified_split_of_any_labels() -> None:
    """Index sets are disjoint, of the sizes asked for, and as even over classes as can be."""
    labels = np.repeat(np.arange(7), 50)
    train, validation, test = split_indices(labels, 3, 35, 70)
    assert (len(train), len(validation), len(test)) == (245, 35, 70)
    assert len({*train, *validation, *test}) == 350
    assert set(np.bincount(labels[validation])) <= {4, 5, 6}


def test_crops_are_windows_of_the_image_or_its_mirror() -> None:
    """Every view is a shift of the image, or of its mirror image, by at most an eighth of the size."""
    images = torch.arange(256).reshape(1, 1, 16, 16).to(torch.uint8)
    padded = torch.nn.functional.pad(images[0, 0], (2, 2, 2, 2))
    windows = [padded[i : i + 16, j : j + 16] for i in range(5) for j in range(5)]
    windows += [torch.nn.functional.pad(images[0, 0].flip(1), (2, 2, 2, 2))[i : i + 16, j : j + 16]
                for i in range(5) for j in range(5)]  # fmt: skip
    views = crop_and_flip(images, torch.zeros(60, dtype=torch.int64), torch.Generator().manual_seed(0))
    assert all(any(torch.equal(view[0], window) for window in windows) for view in views)
    assert len({view.numpy().tobytes() for view in views}) > 20


@pytest.mark.parametrize("size", [(64, 8), (8, 64)])
def test_crops_of_any_shape_move_an_eighth_of_each_side(size: tuple[int, int]) -> None:
    """Each axis is shifted by up to an eighth of its own length, and every such shift comes up."""
    images = torch.full((1, 1, *size), 9, dtype=torch.uint8)
    views = crop_and_flip(images, torch.zeros(400, dtype=torch.int64), torch.Generator().manual_seed(0))
    for axis, side in ((2, size[0]), (3, size[1])):
        kept = views.amax(5 - axis).gt(0).sum(2).unique().tolist()
        assert kept == list(range(side - side // 8, side + 1))


def make_folder(path: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 20, size: int = 12) -> Path:
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in classes:
            (path / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (size, size, 3), np.uint8)
                Image.fromarray(pixels).save(path / part / name / f"{number:03}.png")
    return path


def test_a_folder_of_images_is_a_data_set(tmp_path: Path) -> None:
    """Images, labels by sorted class name, and a tenth of train held out as validation."""
    found = load_dataset(str(make_folder(tmp_path / "pets")))
    assert found.input_shape == (3, 12, 12)
    assert (len(found.train_x), len(found.validation_x), len(found.test_x)) == (36, 4, 40)
    assert found.num_classes == 2
    expected = np.asarray(Image.open(tmp_path / "pets" / "test" / "dog" / "000.png")).transpose(2, 0, 1)
    assert np.array_equal(found.test_x[20].numpy(), expected)
    assert found.test_y[20] == 1


def test_networks_are_judged_by_mirrored_images_too_where_training_mirrors(tmp_path: Path, whole: Dataset) -> None:
    """Each validation image of a folder and its mirror image are one group; a digit's mirror image is no digit."""
    found = load_dataset(str(make_folder(tmp_path / "pets")))
    images, labels, groups = found.judged_images()
    assert torch.equal(images[:4], found.validation_x)
    assert torch.equal(images[4:].flip(3), found.validation_x)
    assert torch.equal(labels, torch.cat([found.validation_y, found.validation_y]))
    assert torch.equal(groups[:4], groups[4:])
    assert torch.equal(whole.judged_images()[0], whole.validation_x)


def test_large_images_are_reduced(tmp_path: Path) -> None:
    """Images beyond 64 pixels on a side become 32x32."""
    assert load_dataset(str(make_folder(tmp_path / "big", count=12, size=70))).input_shape == (3, 32, 32)


@pytest.mark.parametrize(("kind", "ending"), [("<u2", "png"), (">u2", "tiff"), ("<i4", "tiff")])
def test_deep_grey_images_keep_their_upper_bits(tmp_path: Path, kind: str, ending: str) -> None:
    """Of sixteen bits the upper eight are taken; a mode of 32 bits may hold sixteen."""
    folder = make_folder(tmp_path / "deep", count=0)
    values = np.random.default_rng(0).integers(0, 2**16, (2, 2, 20, 9, 7)).astype(kind)
    for part, images in zip(("train", "test"), values, strict=True):
        for name, group in zip(("cat", "dog"), images, strict=True):
            for number, pixels in enumerate(group):
                Image.fromarray(pixels).save(folder / part / name / f"{number:03}.{ending}")
    found = load_dataset(str(folder))
    assert found.input_shape == (1, 9, 7)
    assert np.array_equal(found.test_x[:20, 0].numpy(), (values[1, 0] >> 8).astype(np.uint8))


@pytest.mark.parametrize("coloured", ["train/cat/000.png", "train/dog/003.png", "test/dog/011.png"])
def test_one_image_in_colour_makes_all_of_them_coloured(
    tmp_path: Path, coloured: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it stands, and one line says how many are grey; grey ones alone stay grey, without a word."""
    folder = make_folder(tmp_path / "mixed", count=12)
    for file in folder.glob("*/*/*.png"):
        with Image.open(file) as image:
            grey = image.convert("L")
        grey.save(file)
    assert form_of(folder) == ((1, 12, 12), 2)
    assert load_dataset(str(folder)).input_shape == (1, 12, 12)
    assert not caplog.records
    pixels = np.random.default_rng(1).integers(0, 256, (12, 12, 3), np.uint8)
    Image.fromarray(pixels).save(folder / coloured)
    found = load_dataset(str(folder))
    assert form_of(folder) == ((3, 12, 12), 2)
    images = torch.cat([found.train_x, found.validation_x, found.test_x])
    assert sum(torch.equal(image, torch.from_numpy(pixels.transpose(2, 0, 1))) for image in images) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"warning: {folder}: 47 of 48 images are grey: all are taken in colour"
    ]


def _huge(file: Path) -> None:
    """A small file that claims 40,000 x 40,000 pixels."""
    Image.new("1", (8, 8)).save(file)
    content = bytearray(file.read_bytes())
    content[16:24] = (40_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    file.write_bytes(content)


BROKEN: dict[str, Callable[[Path], object]] = {
    "huge.png": _huge,
    "words.ppm": lambda file: file.write_bytes(b"P6 12 twelve 255\n"),
    "short.bmp": lambda file: file.write_bytes(b"BM" + bytes(60)),
    "float.tiff": lambda file: Image.fromarray(np.ones((5, 5), np.float32)).save(file),
    "deep.tiff": lambda file: Image.fromarray(np.full((5, 5), 70_000, np.int32)).save(file),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("first", [True, False])
def test_images_that_cannot_be_read_are_told_in_one_line(tmp_path: Path, name: str, *, first: bool) -> None:
    """Whatever Pillow makes of a damaged or hostile file, and kinds of numbers that would be cut off."""
    folder = make_folder(tmp_path / "odd")
    BROKEN[name](folder / "train" / "cat" / (f"0{name}" if first else name))
    with pytest.raises(InputFileError, match=rf"{name}: expected (an image|8 or 16 bits)") as caught:
        load_dataset(str(folder))
    assert "\n" not in str(caught.value)


def test_mistakes_in_a_folder_are_one_clear_line(tmp_path: Path) -> None:
    """No train/, no classes, no images, a file that is no image, other classes in test: each is said in one line."""
    empty = tmp_path / "empty"
    empty.mkdir()
    bare = tmp_path / "bare"
    (bare / "train").mkdir(parents=True)
    hollow = make_folder(tmp_path / "hollow", count=0)
    odd = make_folder(tmp_path / "odd")
    (odd / "train" / "cat" / "zzz.png").write_text("no image")
    uneven = make_folder(tmp_path / "uneven")
    (uneven / "test" / "dog").rename(uneven / "test" / "wolf")
    few = make_folder(tmp_path / "few", tuple("abcdef"), count=3)
    for number in range(3, 10):
        shutil.copy(few / "train" / "a" / "000.png", few / "train" / "a" / f"{number:03}.png")
    lines = {
        empty: "no train/",
        bare: "at least two, found 0",
        hollow: f"expected images ({EXTENSIONS[0]}",
        odd: "zzz.png: expected an image",
        uneven: "the same classes in train/ and test/, found dog in train/ alone, wolf in test/ alone",
        few: "few/train: expected at least 10 images per class, found 3 in b, 3 in c, 3 in d and 2 more: add",
        tmp_path / "nothing": "found nothing: check the path",
    }
    for folder, expected in lines.items():
        with pytest.raises(InputFileError) as caught:
            load_dataset(str(folder))
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)


def test_unknown_names_are_told_with_near_misses() -> None:
    """A name that is neither a data set nor a folder is refused, with what may have been meant."""
    with pytest.raises(EennError, match="did you mean cifar10"):
        load_dataset("cifar-10")


def test_no_internet_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set that cannot be downloaded is told with where it was sought and what to do instead."""

    def refuse(*_words: object, **_more: object) -> None:
        raise URLError("no route to host")  # a stand-in: a test cannot unplug the machine

    monkeypatch.setattr(datasets(), "CIFAR10", refuse)
    with pytest.raises(InputFileError, match=r"'cifar10': expected it in .*no route to host.*--dataset"):
        load_dataset("cifar10", tmp_path)


def test_without_downloads_only_what_is_there_counts(tmp_path: Path) -> None:
    """With `download` off an absent data set is refused, and not even a folder is made for it."""
    with pytest.raises(InputFileError, match="cifar10"):
        load_dataset("cifar10", tmp_path / "data", download=False)
    assert not list(tmp_path.iterdir())


def test_downloaded_arrays_become_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torchvision's arrays arrive channels first, split and labelled."""

    class Downloaded:
        def __init__(self, _root: str, *, download: bool, train: bool) -> None:
            assert download
            self.data = np.full((100 if train else 20, 32, 32, 3), 7 if train else 9, np.uint8)
            self.targets = list(range(10)) * (10 if train else 2)

    monkeypatch.setattr(datasets(), "CIFAR10", Downloaded)
    found = load_dataset("cifar10", tmp_path)
    assert found.train_x.shape == (90, 3, 32, 32)
    assert sorted(found.validation_y.tolist()) == list(range(10))
    assert data.DATASETS == ("digits", "cifar10", "cifar100", "svhn")


def test_a_device_that_is_not_there_is_refused() -> None:
    """Unknown names, and kinds that compute nothing."""
    assert device_of("cpu").type == "cpu"
    for name in ("meta", "nothing", "cuda:99"):
        with pytest.raises(InvalidValueError, match=f"--device {name}"):
            device_of(name)
