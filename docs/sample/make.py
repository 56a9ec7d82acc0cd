"""Makes the sample report in ``reports/sample`` and the pictures of the README, anew.

    .venv/bin/python docs/sample/make.py            # the run, the report, the pictures
    .venv/bin/python docs/sample/make.py --pictures # the pictures of the report that is there

The run takes half a minute on two cores and needs no network. The pictures are taken in the Chromium of the machine.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "docs" / "sample" / "sample.yaml"
REPORT = ROOT / "reports" / "sample"
IMAGES = ROOT / "docs" / "images"
SHOTS = {
    "overview": ("index.html", "", False),
    "overview-dark": ("index.html", "", True),
    "comparison": ("index.html", "#comparison", False),
    "prompts": ("prompts.html", "", False),
    "likeness": ("likeness.html", "#hits", False),
    "review": ("review.html", "", False),
}
"""Picture: page, where on it, dark."""
WIDTH, HEIGHT = 1280, 860
COLOURS = 128


def make_report() -> None:
    """Run the suite and keep its report."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "sample"
        command = [
            sys.executable,
            "-m",
            "vgaudit",
            "run",
            str(SUITE),
            "--out",
            str(run),
            "--exit-zero",
            "--quiet",
        ]
        subprocess.run(command, cwd=ROOT, check=True)
        if REPORT.exists():
            shutil.rmtree(REPORT)
        shutil.copytree(run / "report", REPORT, ignore=shutil.ignore_patterns(".written"))
    for page in REPORT.rglob("*.html"):  # the suite's place on this machine is nobody's business
        page.write_text(page.read_text("utf-8").replace(f"{ROOT}/", ""), "utf-8", newline="\n")


def take_pictures() -> None:
    """Open the pages at a desktop's width, and keep what is seen, in few colours."""
    sys.path.insert(0, str(ROOT))
    from tests.browser import Browser

    IMAGES.mkdir(exist_ok=True)
    for name, (page, where, dark) in SHOTS.items():
        with Browser(WIDTH, HEIGHT, dark=dark) as browser:
            browser.page.emulate_media(reduced_motion="reduce")
            browser.open(REPORT / page)
            if where:
                browser.run(f"document.querySelector('{where}').scrollIntoView({{behavior: 'instant'}})")
                browser.run("window.scrollBy({top: -60, behavior: 'instant'})")
            browser.page.wait_for_timeout(500)
            path = IMAGES / f"{name}.png"
            browser.screenshot(path, full=False)
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(COLOURS).save(path, optimize=True)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", action="store_true", help="only take the pictures")
    if not parser.parse_args().pictures:
        make_report()
    take_pictures()
