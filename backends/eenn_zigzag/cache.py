"""ZigZag's answers kept on disk: one JSON file per distinct question, named by its hash.

The question is all that decides the answer: tool and version, settings, core, layer and mapping as the tool reads them.
It stands in the file beside the answer, so that a file can be checked by hand.
"""

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eenn_zigzag.tool import ToolAnswer

FOLDER_VARIABLE = "EENN_ZIGZAG_CACHE"
"""Environment variable that names the folder."""


def default_folder() -> Path:
    """`EENN_ZIGZAG_CACHE`, or ``eenn-rl/zigzag`` in the user's cache folder (XDG)."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "eenn-rl" / "zigzag"


def _digest(question: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


class AnswerCache:
    """Answers in memory and in `folder`; safe for several processes, and for one that is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, ToolAnswer] = {}

    def get(self, question: dict[str, Any]) -> ToolAnswer | None:
        """The answer kept for `question`; a file that cannot be read counts as none, and is written anew."""
        key = _digest(question)
        if key not in self._known:
            try:
                data = json.loads(self._path(key).read_text("utf-8"))
                self._known[key] = ToolAnswer(**data["answer"])
            except (OSError, ValueError, TypeError, KeyError):
                return None
        return self._known[key]

    def put(self, question: dict[str, Any], answer: ToolAnswer) -> None:
        """Keep `answer`: written aside and moved into place, so that no reader meets half a file."""
        key = _digest(question)
        self._known[key] = answer
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"question": question, "answer": asdict(answer)}, indent=1)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8") as file:
            file.write(text)
        Path(file.name).replace(path)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
