"""Draw what a run printed as an SVG: ``python docs/images/render_run.py RUN docs/images/run.svg``.

The text is that of ``run.log`` (time stamps dropped) and of ``eenn-rl show RUN``; nothing is loaded from the network.
"""

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from eenn_rl.run_folder import RunFolder
from eenn_rl.show import results_view
from eenn_rl.stored_run import read_results

run, target = Path(sys.argv[1]), Path(sys.argv[2])
folder = RunFolder(run)
results = read_results(folder)
if results is None:
    sys.exit(f"{run}: expected a finished run, found one in phase {folder.phase}")
console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True, highlight=False)
console.print("[bold]$ eenn-rl train --backend multicore[/]")
for line in folder.log.read_text(encoding="utf-8").splitlines():
    if ": done in" in line or "space" in line:
        console.print(re.sub(r"^\S+ \S+ ", "", line), markup=False)
console.print(results_view(results))
svg = console.export_svg(title="eenn-rl")
svg = re.sub(r"<!-- .*? -->", "", svg)
svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
target.write_text(svg, encoding="utf-8")
