"""Picture the top of a run's report: ``python docs/images/render_report.py RUN docs/images/report.png``.

The report is opened in a headless Chromium (tests/browser.py), 1100 pixels wide; the picture ends with the timeline of
the first verified network.
"""

import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / "tests")]

from PIL import Image  # noqa: E402

from browser import Browser, find_chromium  # noqa: E402 - in the tests' folder
from eenn_rl.report import write_report  # noqa: E402

run, target = Path(sys.argv[1]), Path(sys.argv[2])
chromium = find_chromium() or sys.exit("no Chromium is installed (set CHROMIUM to its path)")
with tempfile.TemporaryDirectory() as folder:
    page = write_report([run], Path(folder) / "report.html")
    with Browser(chromium, Path(folder) / "profile") as browser:
        browser.resize(1100, 900)
        browser.open(page)
        end = browser.run("document.querySelector('#r0-v1-timeline').closest('figure').getBoundingClientRect().bottom")
        browser.screenshot(target, int(end) + 16)
Image.open(target).convert("RGB").quantize(128).save(target, optimize=True)
