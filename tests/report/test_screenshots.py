"""The page in a real browser, on a phone and on a screen: nothing overflows, nothing is missing, nothing is asked of the network."""

import json
import re
import shutil
import subprocess
from html import unescape
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medllm.report import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (390, 1280)
HEIGHT = 3000
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium here")
# Runs in a copy of the page whose policy lets it: folded parts opened, then everything that sticks out.
MEASURE = """<script>
addEventListener("load", () => {
  document.querySelectorAll("details").forEach(one => one.open = true);
  const name = one => one.tagName + "." + one.className + " " + one.textContent.trim().slice(0, 30);
  const scrolls = one => one.closest("svg") || (one.closest(".scroll") && (innerWidth > 640 || !one.closest(".stacked")));
  const all = [...document.body.querySelectorAll("*")];
  const out = all.filter(one => !scrolls(one) && one.getBoundingClientRect().right > innerWidth + 1).map(name);
  const cells = [...document.querySelectorAll("td, .tile, .tag, .counts a")];
  const narrow = cells.filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth).map(name);
  const pictures = [...document.querySelectorAll("figure svg")];
  parent.postMessage(JSON.stringify({
    width: innerWidth, page: document.documentElement.scrollWidth, out, narrow, pictures: pictures.length,
    empty: pictures.filter(one => one.getBoundingClientRect().height < 50 || !one.querySelector("text")).length,
    broken: [...document.images].filter(one => !one.naturalWidth).length,
    requests: performance.getEntriesByType("resource").map(one => one.name),
  }), "*");
});
</script></body>"""
FRAMES = """<!doctype html><body style="margin:0"><script>
addEventListener("message", event => document.body.append(Object.assign(document.createElement("pre"), {textContent: event.data})));
</script>"""


def _browse(folder: Path, *options: str, frames: dict[int, str]) -> bytes:
    """Frames of some widths side by side (a window is never narrower than 500 px), in a browser that finds no host."""
    body = "".join(f'<iframe src="{name}" width={width} height={HEIGHT} style="border:0"></iframe>' for width, name in frames.items())
    (folder / "frames.html").write_text(FRAMES + body, encoding="utf-8")
    command = [
        str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={sum(WIDTHS) + 100},{HEIGHT}", "--virtual-time-budget=5000", *options,
        (folder / "frames.html").as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, make_inputs: Any) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    write_report(folder / "report", **make_inputs(folder) | {"examples": 40})
    return folder / "report" / "index.html"


def test_nothing_sticks_out_is_missing_or_asks_the_network(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    policy = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">'
    assert policy in text
    copy = text.replace(policy, "").replace("</body>", MEASURE)
    (page.parent / "measured.html").write_text(copy, encoding="utf-8")
    dom = _browse(page.parent, "--dump-dom", frames=dict.fromkeys(WIDTHS, "measured.html")).decode()
    found = [json.loads(unescape(one)) for one in re.findall(r"<pre>(.*?)</pre>", dom, flags=re.DOTALL)]
    assert sorted(one["width"] for one in found) == sorted(WIDTHS)
    for one in found:
        assert one == one | {"page": one["width"], "out": [], "narrow": [], "empty": 0, "broken": 0, "requests": []}
        assert one["pictures"] == 7


def test_the_screenshot_is_not_blank(page: Path) -> None:
    picture = page.parent / "shot.png"
    _browse(page.parent, f"--screenshot={picture}", frames=dict.fromkeys(WIDTHS, page.name))
    shot = Image.open(BytesIO(picture.read_bytes())).convert("RGB")
    left = 0
    for width in WIDTHS:
        colours = shot.crop((left, 0, left + width, HEIGHT)).getcolors(maxcolors=1 << 24)
        left += width
        shares = {colour: count / (width * HEIGHT) for count, colour in colours}
        assert max(shares.values()) < 0.9, "one colour alone is a blank page"
        assert {(253, 230, 218), (255, 241, 204)} <= set(shares), "counts stand in their colours: the style was applied"
