"""Finding and loading backends: only what is asked for, and one broken stranger breaks nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eenn_rl import plugins
from eenn_rl.errors import BackendError, EennError, InvalidValueError
from eenn_rl.hardware import AcceleratorSpec, load_accelerator
from eenn_rl.plugins import BackendRecord, backend_record, default_accelerator, list_backends, make_backend
from eenn_rl.workload import Stage, Workload
from eenn_rl.zoo import make_backbone
from plugin_site import good_plugin, install

BACKBONE = make_backbone("resnet8", (1, 16, 16))


def make(name: str) -> object:
    return make_backend(name, load_accelerator("quad_edge_tpu"), BACKBONE)


def record(name: str) -> BackendRecord:
    (found,) = [r for r in list_backends() if r.name == name]
    return found


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def test_an_installed_backend_is_made_by_its_entry_points_name(site: Path) -> None:
    """The name the user passes is the entry point's, and what comes back costs a workload."""
    install(site, "good-chip", {"goodchip": "good_chip_1"}, {"good_chip_1": good_plugin()})
    backend = make("goodchip")
    report = backend.evaluate(Workload((Stage(BACKBONE.layers, (), 8, 0, 0),)))
    assert report.exits[0].energy_j == pytest.approx(BACKBONE.macs * 1e-12)


def test_only_the_backend_asked_for_is_imported(tmp_path: Path) -> None:
    """A neighbour whose import ends the process is never touched when another backend is asked for."""
    site = tmp_path / "site"
    install(site, "good-chip", {"goodchip": "good_chip"}, {"good_chip": good_plugin()})
    install(site, "bad-chip", {"badchip": "bad_chip"}, {"bad_chip": "import os\nos._exit(77)\n"})
    code = (
        "import sys\nfrom eenn_rl.hardware import load_accelerator\nfrom eenn_rl.plugins import make_backend\n"
        "from eenn_rl.zoo import make_backbone\n"
        "make_backend('goodchip', load_accelerator('quad_edge_tpu'), make_backbone('resnet8'))\n"
        "assert 'good_chip' in sys.modules and 'bad_chip' not in sys.modules and 'eenn_multicore' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    path = os.pathsep.join([str(site), *sys.path])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == 0


BROKEN = {
    "fails to import": ("import a_module_that_nobody_has\n", "ModuleNotFoundError: No module named 'a_module"),
    "raises SystemExit": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "has a syntax error": ("def broken(:\n", "SyntaxError: invalid syntax"),
    "raises text of many lines": ("raise ValueError('one\\ntwo\\n' * 400)\n", "ValueError: one two one two"),
    "names an unknown hook": (
        good_plugin().replace("def eenn_rl_make_backend", "def eenn_rl_make_chip"),
        "unknown hook 'eenn_rl_make_chip'",
    ),
    "names an unknown argument": (good_plugin(arguments="accelerator, voltage"), "{'voltage'}"),
    "names an unknown argument, and is told the known ones": (
        good_plugin(arguments="accelerator, voltage"),
        "known hooks: eenn_rl_default_accelerator(), eenn_rl_make_backend(accelerator, backbone)",
    ),
    "implements no hook": ("x = 1\n", "expected a function eenn_rl_make_backend marked with @hookimpl, found none"),
    "returns None": (good_plugin().replace("return Chip()", "return None"), "found None"),
    "returns the class": (good_plugin().replace("return Chip()", "return Chip"), "found the class Chip itself"),
    "returns no backend": (good_plugin().replace("return Chip()", "return 42"), "found int with api_version None"),
    "has a version that is no integer": (good_plugin(api_version="'1'"), "api_version '1'"),
    "needs a newer api_version": (
        good_plugin(api_version=2),
        "needs api_version 2, this eenn-rl serves 1: upg",
    ),
    "raises when its api_version is read": (
        good_plugin().replace("api_version = 1", "@property\n    def api_version(self): return 1 / 0"),
        "reading api_version and evaluate failed: ZeroDivisionError",
    ),
    "raises in its factory": (good_plugin().replace("return Chip()", "return 1 / 0"), "ZeroDivisionError"),
    "exits in its factory": (good_plugin().replace("return Chip()", "raise SystemExit"), "failed: SystemExit"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_plugin_is_one_line_that_names_its_distribution(site: Path, how: str) -> None:
    """Listed with its reason beside a working neighbour, and refused by name with the same line."""
    source, reason = BROKEN[how]
    module = f"broken_{list(BROKEN).index(how)}"
    install(site, "broken-chip", {"broken": module}, {module: source}, version="3.1")
    install(site, "good-chip", {"goodchip": f"good_{module}"}, {f"good_{module}": good_plugin()})
    assert record("goodchip").problem is None
    problem = record("broken").problem
    assert problem is not None
    assert reason in problem
    with pytest.raises(BackendError) as error:
        make("broken")
    message = str(error.value)
    assert message == f"backend 'broken' (broken-chip 3.1, {module}): {problem}"
    assert "\n" not in message
    assert len(message) < 500


def test_a_record_says_where_a_backend_comes_from(site: Path) -> None:
    """Distribution, version, origin, api_version and the accelerator it was tried on."""
    install(site, "good-chip", {"goodchip": "good_chip_2"}, {"good_chip_2": good_plugin()}, version="2.5")
    assert record("goodchip") == BackendRecord("goodchip", "good-chip", "2.5", "good_chip_2", None, 1, "quad_edge_tpu")
    assert backend_record("goodchip") == BackendRecord("goodchip", "good-chip", "2.5", "good_chip_2")


def test_duplicate_names_are_an_error_that_names_both_distributions(site: Path) -> None:
    """Neither of two claimants wins by accident."""
    install(site, "first-chip", {"chip": "chip_a"}, {"chip_a": good_plugin()})
    install(site, "second-chip", {"chip": "chip_b"}, {"chip_b": good_plugin()})
    with pytest.raises(BackendError, match=r"first-chip 1\.0.*second-chip 1\.0.*uninstall one"):
        make("chip")
    assert [r.problem is not None for r in list_backends() if r.name == "chip"] == [True, True]
    assert not {"chip_a", "chip_b"} & set(sys.modules)


def test_a_distribution_shadowed_on_the_path_is_no_duplicate(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same distribution found twice (an old copy further down the path) counts once, the importable one."""
    install(site, "Good_Chip", {"goodchip": "good_chip_3"}, {"good_chip_3": good_plugin()}, version="2.0")
    old = install(tmp_path / "old", "good-chip", {"goodchip": "good_chip_old"}, {}, version="1.0")
    monkeypatch.syspath_prepend(old)
    monkeypatch.syspath_prepend(site)
    assert record("goodchip").version == "2.0"


@pytest.mark.parametrize("arguments", ["", "accelerator", "backbone"])
def test_a_factory_may_accept_fewer_arguments(site: Path, arguments: str) -> None:
    """A chip that needs no accelerator description does not have to name the argument."""
    module = f"fewer_{arguments or 'none'}"
    install(site, "fewer", {"fewer": module}, {module: good_plugin(arguments=arguments)})
    assert make("fewer").api_version == 1


def test_a_plugin_may_be_an_object_of_its_module(site: Path) -> None:
    """`module:object`, its hooks being methods."""
    hooks = "\nclass Plugin:\n    @hookimpl\n    def eenn_rl_make_backend(self, backbone):\n        return Chip()\n"
    source = good_plugin().split("@hookimpl")[0] + hooks + "plugin = Plugin()\n"
    install(site, "object-chip", {"objectchip": "object_chip:plugin"}, {"object_chip": source})
    assert make("objectchip").api_version == 1
    assert record("objectchip").origin == "object_chip:plugin"


def test_an_unknown_name_offers_the_near_misses(site: Path) -> None:
    """A typing mistake is answered with the installed name."""
    install(site, "good-chip", {"goodchip": "good_chip_4"}, {"good_chip_4": good_plugin()})
    with pytest.raises(BackendError, match="unknown backend 'goodchop': did you mean goodchip"):
        make("goodchop")


def test_an_older_plugin_is_served_until_its_version_is_retired(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With api_version 3 current and 2 the oldest: 2 works, 1 is told to upgrade the plugin."""
    for version in (1, 2):
        install(site, f"chip-{version}", {f"api{version}": f"api_{version}"}, {f"api_{version}": good_plugin(version)})
    monkeypatch.setattr(plugins, "API_VERSION", 3)
    monkeypatch.setattr(plugins, "OLDEST_API_VERSION", 2)
    assert record("api2").api_version == 2
    assert "needs api_version 1, this eenn-rl serves 2 to 3: upgrade the plugin" in str(record("api1").problem)


def test_a_strangers_malformed_entry_points_break_nothing(site: Path) -> None:
    """A distribution whose entry_points.txt cannot be parsed is listed as such; another group's is not our affair."""
    install(site, "good-chip", {"goodchip": "good_chip_5"}, {"good_chip_5": good_plugin()})
    for name, group in (("ours", "eenn_rl"), ("theirs", "somebody_else")):
        install(site, name, {}, {})
        (site / f"{name}-1.0.dist-info" / "entry_points.txt").write_text(f"[{group}]\nno equals sign\n")
    assert record("goodchip").problem is None
    assert [r.distribution for r in list_backends() if r.name == "?"] == ["ours"]


def test_damaged_distributions_break_nothing(site: Path) -> None:
    """Rubbish or nothing where metadata should be: a backend in it is still listed, one elsewhere still works."""
    install(site, "good-chip", {"goodchip": "good_chip_7"}, {"good_chip_7": good_plugin()})
    for name, files in {
        "nameless": {"entry_points.txt": b"[eenn_rl]\nnameless = nobody\n"},
        "rubbish": {"METADATA": b"\xff\xfe\x00bad", "entry_points.txt": b"\xff\xfe[eenn_rl]\nx=y"},
    }.items():
        folder = site / f"{name}-1.0.dist-info"
        folder.mkdir()
        for file, content in files.items():
            (folder / file).write_bytes(content)
    assert record("goodchip").problem is None
    nameless = record("nameless")
    assert nameless.distribution == f"unnamed distribution in {site}"
    assert "ModuleNotFoundError" in str(nameless.problem)


CHOOSY = good_plugin().replace(
    "return Chip()",
    "from eenn_rl.errors import InvalidValueError\n"
    "    if accelerator.name != 'mychip': raise InvalidValueError('expected mychip, found ' + accelerator.name)\n"
    "    return Chip()",
)
OWN_CHIP = """
@hookimpl
def eenn_rl_default_accelerator():
    from dataclasses import replace
    from eenn_rl.hardware import load_accelerator
    return replace(load_accelerator('quad_edge_tpu'), name='mychip')
"""


def test_a_backend_that_declines_an_accelerator_is_not_broken(site: Path) -> None:
    """Its own reason is told, as what the user did wrong, and the listing does not call it unusable."""
    install(site, "choosy", {"choosy": "choosy_1"}, {"choosy_1": CHOOSY})
    with pytest.raises(InvalidValueError, match=r"backend 'choosy' \(choosy 1.0, choosy_1\): expected mychip, found"):
        make("choosy")
    assert record("choosy").problem is None
    assert record("choosy").declined == "expected mychip, found quad_edge_tpu"


def test_a_plugin_may_bring_the_accelerator_it_is_for(site: Path) -> None:
    """Its default accelerator is used where the user names none, by the listing as well."""
    install(site, "choosy", {"choosy": "choosy_2"}, {"choosy_2": CHOOSY + OWN_CHIP})
    assert default_accelerator("choosy").name == "mychip"
    assert record("choosy").accelerator == "mychip"
    assert record("choosy").api_version == 1


@pytest.mark.parametrize(("answer", "message"), [("42", "found int"), ("'mychop'", "mychop"), ("1 / 0", "ZeroDiv")])
def test_a_wrong_default_accelerator_is_one_line(site: Path, answer: str, message: str) -> None:
    """A plugin that names no accelerator we can load is told so, by type or by name."""
    module = f"wrong_{abs(hash(answer))}"
    source = good_plugin() + f"\n@hookimpl\ndef eenn_rl_default_accelerator():\n    return {answer}\n"
    install(site, "wrong", {"wrong": module}, {module: source})
    with pytest.raises(EennError, match=message):
        default_accelerator("wrong")
    assert message in str(record("wrong").problem)


def test_without_a_default_of_its_own_a_backend_gets_the_shipped_one(site: Path) -> None:
    """quad_edge_tpu."""
    install(site, "good-chip", {"goodchip": "good_chip_6"}, {"good_chip_6": good_plugin()})
    accelerator = default_accelerator("goodchip")
    assert isinstance(accelerator, AcceleratorSpec)
    assert accelerator.name == "quad_edge_tpu"


def test_what_a_plugin_prints_does_not_reach_stdout(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Results on stdout stay readable by a program."""
    install(site, "chatty", {"chatty": "chatty"}, {"chatty": "print('hello')\n" + good_plugin()})
    make("chatty")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")
