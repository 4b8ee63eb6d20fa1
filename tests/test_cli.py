"""The command line: help at once, and one clear line with status 2 for whatever a user gets wrong."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eenn_rl.cli import main
from eenn_rl.verbs import VERBS


def run(*words: str) -> int:
    return main(list(words))


def test_the_overview_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """`eenn-rl --help` lists what there is."""
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in VERBS)


def test_help_answers_in_under_a_second() -> None:
    """No heavy library is paid for: the best of three calls takes less than a second, interpreter included."""
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "eenn_rl.cli", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 1


@pytest.mark.parametrize("words", [("show", "nothing"), ("--help",)])
def test_a_system_without_file_locks_is_told(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Windows has no fcntl: one line before anything else, where verbs would end in tracebacks."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert run(*words) == 2
    told = capsys.readouterr()
    assert told.err.startswith("eenn-rl: error: expected a POSIX system (Linux, macOS), found ")
    assert (told.out, told.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`eenn-rl VERB --help` prints its options and exits with 0."""
    with pytest.raises(SystemExit) as caught:
        run(verb, "--help")
    assert caught.value.code == 0
    assert f"usage: eenn-rl {verb}" in capsys.readouterr().out


MISTAKES = {
    "unknown verb": (("trian",), "unknown verb 'trian': did you mean train"),
    "unknown option": (("train", "--sede", "1"), "unknown option '--sede': did you mean --seed"),
    "unknown backend": (("train", "--backend", "multicor"), "unknown backend 'multicor': did you mean multicore"),
    "unknown accelerator": (("train", "--accelerator", "quad_edge_tpo"), "did you mean quad_edge_tpu"),
    "no accelerator file": (("train", "--accelerator", "mine"), "(or give a YAML file)"),
    "unknown backbone": (("train", "--backbone", "resnet9"), "unknown backbone 'resnet9': did you mean resnet8"),
    "unknown data set": (("train", "--dataset", "digit"), "unknown data set 'digit': did you mean digits"),
    "no data folder": (("train", "--dataset", "photos"), "(or give a folder with train/"),
    "no own backbone": (("train", "--backbone", "mine"), "(or give your own as package.module:function)"),
    "unknown agent": (("train", "--agent", "pppo"), "unknown agent 'pppo': did you mean ppo"),
    "no policy file": (("train", "--policy", "nope"), "nope: expected a policy file, found none"),
    "folder for a policy": (("train", "--policy", "."), ": expected a policy (an .npz that `eenn-rl pretrain` wrote)"),
    "unfit policy": (("train", "--policy", "shipped", "--max-exits", "3"), "trained for exits 4, the problem has 3"),
    "policy without use": (("train", "--agent", "local", "--policy", "shipped"), "found agent local, which uses none"),
    "too much to exhaust": (("train", "--agent", "exhaustive"), "expected a budget of at least the"),
    "unknown device": (("train", "--tables", "shipped", "--device", "tpu"), "--device tpu: expected a device"),
    "untrained proposals": (
        ("propose", "--max-exits", "3"),
        "the problem has 3: pretrain one for this problem, or give one that fits as",
    ),
    "nothing to propose on": (
        ("propose", "--backbone", "resnet20"),
        "digits_resnet8: give --tables FILE",
    ),
    "unknown branch": (("train", "--branches", "lineer"), "unknown branch 'lineer': did you mean linear"),
    "unknown objective": (("train", "--objective", "elpp"), "unknown --objective 'elpp': did you mean elp"),
    "impossible bits": (("train", "--bits", "3"), "bits must be one of 2, 4, 8, found 3"),
    "no number": (("train", "--seed", "one"), "expected an integer, found 'one'"),
    "seed too large": (("train", "--seed", "9" * 23), "seed must be between 0 and 4611686018427387903, found 999"),
    "64-bit seed": (("propose", "--seed", "9223372036854775807"), "seed must be between 0 and 4611686018427387903"),
    "negative seed": (("pretrain", "--out", "x.npz", "--seed", "-1"), "seed must be between 0 and"),
    "too many seeds": (("compare", "--out", "x", "--seeds", "9" * 23), "seeds must be between 1 and 10000"),
    "too many proposals": (("propose", "-n", "9" * 23), "n must be between 1 and 100000"),
    "scalars nowhere": (
        ("train", "--tables", "shipped", "--tensorboard", "/dev/null/x"),
        "--tensorboard /dev/null/x: expected a place that can be written to",
    ),
    "policy nowhere": (
        ("pretrain", "--out", "/dev/null/x.npz"),
        "--out /dev/null/x.npz: expected a place that can be written to",
    ),
    "policy nowhere to be made": (("pretrain", "--out", "/proc/x.npz"), "--out /proc/x.npz: expected a place that can"),
    "checkpoint nowhere": (
        ("pretrain", "--out", "x.npz", "--checkpoint", "/dev/null/x.pt"),
        "--checkpoint /dev/null/x.pt: expected a place that can be written to",
    ),
    "checkpoint in a folder's place": (
        ("pretrain", "--out", "x.npz", "--checkpoint", "."),
        "--checkpoint .: expected a file, found a folder: add a file's name",
    ),
    "policy in its checkpoint's place": (
        ("pretrain", "--out", "x.npz", "--checkpoint", "x.npz"),
        "--checkpoint x.npz: expected another file than --out's, found the same: choose two names",
    ),
    "policy in its checkpoint's place, otherwise spelt": (
        ("pretrain", "--out", "x.npz", "--checkpoint", "no/../x.npz"),
        "--checkpoint no/../x.npz: expected another file than --out's",
    ),
    "comparison nowhere": (("compare", "--out", "/dev/null"), "--out /dev/null: expected a place that can be written"),
    "comparison nowhere to be made": (("compare", "--out", "/dev/null/x"), "--out /dev/null/x: expected a place that"),
    "negative clip": (
        ("pretrain", "--out", "x.npz", "--clip", "-1"),
        "clip must be more than 0 and finite, found -1.0",
    ),
    "negative budget": (("train", "--budget", "-5"), "budget must be at least 1, found -5"),
    "missing folder": (("train", "--dataset", "no/such/folder"), "no/such/folder: expected a folder with train/"),
    "missing file": (("cost", "no-such.json"), "no-such.json"),
    "missing log": (("replay", "no-such.h5"), "no-such.h5"),
    "costs of nothing new": (("replay", "no-such.h5", "--out", "x.h5"), "--out x.h5: expected --backend"),
    "one row of a table": (
        ("export", "run", "--to", "csv", "x.csv", "--architecture", "3"),
        "--architecture 3: expected --to onnx",
    ),
    "missing run": (("show", "no-such-run"), "no-such-run: expected a run folder, found nothing"),
    "missing tables": (("train", "--tables", "no-such.npz"), "no-such.npz: expected accuracy tables"),
    "missing config": (("train", "--config", "no-such.json"), "no-such.json: expected a configuration file"),
    "endless name": (("show", "x" * 300), "expected a path that can be used, found: File name too long: choose"),
    "no runs to resume": (("train", "--resume"), "--resume: expected a run in runs/, found none"),
    "nothing to resume from": (("verify", "no-such-run"), "no-such-run: expected a run folder"),
}


def test_the_package_can_be_run_as_a_module() -> None:
    """``python -m eenn_rl`` is the command line."""
    done = subprocess.run([sys.executable, "-m", "eenn_rl", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("eenn-rl ")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_what_a_terminal_cannot_show_is_replaced(encoding: str) -> None:
    """Tables need box characters and signs beyond ASCII: where there are none, the numbers stand all the same."""
    words = [sys.executable, "-m", "eenn_rl", "accelerators", "quad_edge_tpu"]
    done = subprocess.run(words, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert b"sram_2MB" in done.stdout


def test_a_reader_may_leave(tmp_path: Path) -> None:
    """`eenn-rl show RUN | head -1` has done its job."""
    run_folder = tmp_path / "run"
    assert run("train", "--tables", "shipped", "--agent", "random", "--budget", "20", "--run", str(run_folder)) == 0
    words = [sys.executable, "-m", "eenn_rl", "show", str(run_folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shown:
        assert shown.stdout is not None
        shown.stdout.close()
        assert (shown.wait(), shown.stderr.read() if shown.stderr else b"") == (0, b"")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was expected and what was found, in one line on stderr; no run folder is left behind."""
    monkeypatch.chdir(tmp_path)
    words, expected = MISTAKES[mistake]
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert expected in captured.err
    assert list(tmp_path.iterdir()) == []


def test_scalars_where_a_file_of_the_run_lies_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is trained or searched."""
    words = ("train", "--tables", "shipped", "--run", str(tmp_path / "run"), "--tensorboard", "config.json")
    assert run(*words) == 2
    assert "config.json: expected a place that can be written to" in capsys.readouterr().err
    assert not (tmp_path / "run" / "tables.npz").exists()


def test_a_traceback_is_shown_to_those_who_ask(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For writers of plugins: above the one line, with EENN_RL_TRACEBACK set."""
    words = ("cost", "no-such.json")
    assert run(*words) == 2
    line = capsys.readouterr().err
    monkeypatch.setenv("EENN_RL_TRACEBACK", "1")
    assert run(*words) == 2
    told = capsys.readouterr().err
    assert told.startswith("Traceback (most recent call last):")
    assert told.endswith(line)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"not a log", os.urandom(4096)])
def test_a_file_that_is_no_log_is_refused(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """`replay` of an empty, cut or foreign file ends with one line and status 2."""
    path = tmp_path / "trajectories.h5"
    path.write_bytes(content)
    assert run("replay", str(path)) == 2
    assert str(path) in capsys.readouterr().err


def test_a_folder_without_images_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ImageFolder layout without a single image is told before anything is trained."""
    for part in ("train", "test"):
        (tmp_path / "data" / part / "cat").mkdir(parents=True)
    assert run("train", "--dataset", str(tmp_path / "data"), "--run", str(tmp_path / "run")) == 2
    assert "image" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_folder_that_exists_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run folder of the user's is refused without --resume, its files left as they were."""
    (tmp_path / "mine.txt").write_text("precious")
    assert run("train", "--run", str(tmp_path)) == 2
    assert "exists already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_configuration_file_with_an_unknown_key_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typing error in a configuration never passes silently."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"seeed": 3}))
    assert run("train", "--config", str(path), "--run", str(tmp_path / "run")) == 2
    assert "seeed" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_backends_and_accelerators_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Both listings show what is shipped and exit with 0."""
    assert run("backends") == 0
    assert "multicore" in capsys.readouterr().out
    assert run("accelerators") == 0
    assert "quad_edge_tpu" in capsys.readouterr().out
