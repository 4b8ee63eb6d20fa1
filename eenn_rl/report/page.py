"""The whole page: one HTML file with everything in it, and a policy that forbids it to fetch anything."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources

from eenn_rl import __version__
from eenn_rl.report.comparison import comparison
from eenn_rl.report.gathered import RunReport
from eenn_rl.report.html import Markup, join, tag
from eenn_rl.report.sections import run_name, run_sections
from eenn_rl.report.svg import dark_rules, style_rules

MARKER = "<!-- eenn-rl report -->"
"""Stands at the beginning of every report, so that a report may replace a report and nothing else."""


def page(runs: Sequence[RunReport]) -> str:
    """The report of one or more runs."""
    files = resources.files("eenn_rl.report")
    script = files.joinpath("page.js").read_text(encoding="utf-8")
    dark = f"@media screen and (prefers-color-scheme:dark){{{dark_rules()}}}"
    style = "\n".join((files.joinpath("page.css").read_text(encoding="utf-8"), style_rules(), dark))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    title = "eenn-rl: " + ", ".join(run_name(run) for run in runs)
    several = len(runs) > 1
    body = join(
        (
            _navigation(runs),
            tag(
                "main", comparison(runs) if several else "", *(run_sections(run, f"r{n}") for n, run in enumerate(runs))
            ),
            tag("footer", f"Made by eenn-rl {__version__}. One file, no network requests."),
            Markup('<div id="tip" role="status" aria-live="polite" hidden></div>'),
            Markup(f"<script>{script}</script>"),
        )
    )
    return (
        f'<!DOCTYPE html>\n{MARKER}\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{tag('title', title)}<style>{style}</style></head><body>{body}</body></html>\n"
    )


def _navigation(runs: Sequence[RunReport]) -> Markup:
    links = [("comparison", "side by side")] if len(runs) > 1 else []
    for n, run in enumerate(runs):
        if len(runs) > 1:
            links.append((f"r{n}", run_name(run)))
        else:
            parts = ("front", "verified", "search", "provenance")
            words = ("accuracy and cost", "verified networks", "search", "provenance")
            links += [(f"r{n}-{part}", word) for part, word in zip(parts, words, strict=True)]
    return tag("nav", tag("b", "eenn-rl"), *(tag("a", label, href=f"#{target}") for target, label in links))
