"""How long the HTML report of a large run takes, how big it is, and how soon a browser paints it.

Usage: .venv/bin/python -m bench.report [EXCHANGES]   (1,000,000)
"""

import sys
import tempfile
import time
from pathlib import Path

from tests.report.browser import chromium, opened
from tests.report.stories import failing, keep

from lameduck.cli.plotting import plotting_library
from lameduck.defects.judge import examine
from lameduck.report.html import page
from lameduck.report.picture import picture
from lameduck.runfile import read


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        kept = keep(failing(count), Path(folder))
        marks = [time.perf_counter()]
        run = read(kept).run
        marks.append(time.perf_counter())
        judged = examine(run)
        marks.append(time.perf_counter())
        file = Path(folder) / "report.html"
        file.write_text(page(run, judged.proof, picture(run, judged), plotting_library()), encoding="utf-8")
        marks.append(time.perf_counter())
        for name, start, end in zip(("read", "judge", "render"), marks, marks[1:], strict=False):
            print(f"{name:<8} {end - start:6.2f} s")
        print(f"size     {file.stat().st_size / 1e6:6.2f} MB, {judged.proof.failed:,} failures")
        with chromium() as browser, opened(browser, file) as shown:
            paint = shown.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            print(
                f"painted  {paint / 1000:6.2f} s, everything drawn {shown.evaluate('performance.now()') / 1000:.2f} s"
            )


if __name__ == "__main__":
    main()
