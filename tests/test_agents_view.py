"""Installed agents: how they are listed, and what is said of those that cannot be used."""

import json
from pathlib import Path

import pytest
import torch  # noqa: F401  importing it fails beside a distribution whose entry points cannot be read: it reads them all

from eenn_agents.agents_view import agents_data, agents_text
from eenn_agents.registry import AgentRecord, agent_maker, agent_names
from eenn_rl import __version__
from eenn_rl.cli import main
from eenn_rl.errors import InvalidValueError
from plugin_site import install

RECORDS = (
    AgentRecord("ppo", "eenn-rl", "1.0", "eenn_agents.ppo:make"),
    AgentRecord("mine", "my-agent", "0.1", "my_agent:Mine", "cannot be imported: SystemExit: 3"),
)
SOURCE = "def make(task):\n    raise NotImplementedError\nnumber = 3\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def add(site: Path, distribution: str, entry_points: dict[str, str], source: str = SOURCE) -> None:
    module = distribution.replace("-", "_")
    install(site, distribution, entry_points, {module: source}, group="eenn_rl.agents")


def test_each_agent_has_a_line_and_a_broken_one_its_reason() -> None:
    """Name, state, distribution, version, origin; for a program the same as data."""
    lines = agents_text(RECORDS).splitlines()
    assert lines[0].split() == ["NAME", "STATE", "DISTRIBUTION", "ORIGIN"]
    assert lines[1].split() == ["ppo", "ok", "eenn-rl", "1.0", "eenn_agents.ppo:make"]
    assert lines[2].split() == ["mine", "broken", "my-agent", "0.1", "my_agent:Mine"]
    assert lines[3] == "    cannot be imported: SystemExit: 3"
    assert lines[-1].startswith("1 of 2 usable")
    data = json.loads(json.dumps(agents_data(RECORDS)))
    assert [(item["name"], item["usable"]) for item in data] == [("ppo", True), ("mine", False)]


def test_broken_strangers_hide_nobody(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that ends the interpreter, one that is no function, and one whose entry points cannot be read."""
    add(site, "good-agent", {"good": "good_agent:make"}, "print('hello')\n" + SOURCE)
    add(site, "quitting-agent", {"quitting": "quitting_agent:make"}, "raise SystemExit(3)\n")
    add(site, "number-agent", {"number": "number_agent:number"})
    add(site, "torn-agent", {"torn": "torn_agent:make"})
    (site / "torn_agent-1.0.dist-info" / "entry_points.txt").write_text("[eenn_rl.agents]\nno equals sign\n")
    assert main(["agents", "--json"]) == 0
    found = {item["name"]: item["problem"] for item in json.loads(capsys.readouterr().out)}
    assert found["good"] is found["ppo"] is found["exhaustive"] is None
    assert found["quitting"] == "cannot be imported: SystemExit: 3"
    assert found["number"] == "expected a function make(task), found 3"
    assert found["?"].startswith("its entry_points.txt cannot be read: ")
    assert {"good", "ppo"} <= set(agent_names())
    assert "?" not in agent_names()
    assert main(["agents"]) == 0
    assert "    cannot be imported: SystemExit: 3\n" in capsys.readouterr().out
    with pytest.raises(
        InvalidValueError, match=r"^agent 'quitting' \(quitting-agent 1\.0, quitting_agent:make\): cannot"
    ):
        agent_maker("quitting")


def test_a_name_that_two_agents_claim_is_an_error_that_names_both(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ours and a stranger's, or two strangers'; every other agent is found as before."""
    for distribution in ("one-agent", "other-agent"):
        add(site, distribution, {"same": f"{distribution.replace('-', '_')}:make"})
    add(site, "usurper", {"ppo": "usurper:make"})
    ours = f"agent 'ppo' (eenn-rl {__version__}, eenn_agents.ppo:make): the name is also claimed by "
    assert main(["train", "--tables", "shipped", "--run", str(tmp_path / "run")]) == 2
    line = f"{ours}agent 'ppo' (usurper 1.0, usurper:make): uninstall the other, or give it another name"
    assert line in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with pytest.raises(InvalidValueError, match=r"one_agent:make\): the name is also claimed by agent 'same' \(other-"):
        agent_maker("same")
    assert callable(agent_maker("random"))
    problems = [item["problem"] for item in agents_data() if item["name"] in ("ppo", "same")]
    assert len(problems) == 4
    assert all("the name is also claimed by" in problem for problem in problems)


def test_an_unknown_agent_is_told_with_the_installed_ones(site: Path) -> None:
    """Where nothing is near, all names are listed."""
    add(site, "good-agent", {"good": "good_agent:make"})
    with pytest.raises(InvalidValueError, match="known: evolution, exhaustive, good, local, nsga2, ppo, random"):
        agent_maker("xyzzyx")
