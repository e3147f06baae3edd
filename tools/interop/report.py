"""The page of `nibble report` in a real Chromium: at a phone's and a desktop's width, light and dark. Needs Debian's
package chromium; NIBBLE_SCREENSHOTS names a folder that keeps the pictures."""
import os
import pathlib
import tempfile

from .browser import Browser, program
from .common import TALES, Row, nibble

# What a reader would complain of: what hangs over the edge (but in boxes that scroll by themselves), letters
# below 10 pixels, and words whose contrast with the page is below 4.5 (WCAG 2.2, 1.4.3).
PROBE = """(() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  let worst = 21, least = 99, words = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    if (!walk.currentNode.data.trim()) continue;
    const style = getComputedStyle(walk.currentNode.parentElement);
    const svg = walk.currentNode.parentElement.namespaceURI.endsWith('svg');
    const ink = light(svg ? style.fill : style.color);
    const high = Math.max(ink, paper), low = Math.min(ink, paper);
    worst = Math.min(worst, (high + .05) / (low + .05));
    if (!svg) least = Math.min(least, parseFloat(style.fontSize));
    words += walk.currentNode.data.trim().split(/\\s+/).length;
  }
  return {overhang: document.documentElement.scrollWidth - innerWidth, paper, contrast: worst, font: least, words,
          scripts: document.scripts.length, pictures: document.querySelectorAll('svg').length};
})()"""


def judge(seen, problems, dark):
    """-> what is wrong with the page as it was seen."""
    wrong = list(problems)
    if seen["overhang"] > 0:
        wrong.append(f"{seen['overhang']} pixels hang over the edge")
    if seen["contrast"] < 4.5:
        wrong.append(f"contrast {seen['contrast']:.1f}")
    if seen["font"] < 10:
        wrong.append(f"letters of {seen['font']} pixels")
    if (seen["paper"] < .2) != dark:
        wrong.append("does not follow the colour scheme")
    if seen["scripts"] or not seen["pictures"] or seen["words"] < 200:
        wrong.append(str(seen))
    return wrong


def check():
    if not program():
        yield Row("page", "needs the package chromium", False)
        return
    with tempfile.TemporaryDirectory() as scratch, Browser() as browser:
        folder = pathlib.Path(scratch)
        for name, scheme in (("small", "w3g128"), ("larger", "w4g32"), ("smaller", "w2g64-asym")):
            nibble("quantize", TALES, "-o", folder / name, "--scheme", scheme, "--method", "rtn")
        page = folder / "report.html"
        nibble("report", folder / "small", "--against", TALES, "--text", TALES / "held_out.txt", "--tokens", 2000,
               "--beside", folder / "larger", "--beside", folder / "smaller", "-o", page)
        kilobytes = page.stat().st_size / 1000
        yield Row("size", f"{kilobytes:.0f} kB, at most 2000", kilobytes < 2000)
        pictures = pathlib.Path(os.environ.get("NIBBLE_SCREENSHOTS", folder))
        pictures.mkdir(parents=True, exist_ok=True)
        for width, height in ((380, 800), (1400, 900)):
            for dark in (False, True):
                browser.problems.clear()
                browser.open(page, width, height, dark)
                wrong = judge(browser.evaluate(PROBE), browser.problems, dark)
                name = f"{width} pixels, {'dark' if dark else 'light'}"
                (pictures / f"report-{width}-{'dark' if dark else 'light'}.png").write_bytes(browser.screenshot())
                yield Row(name, "; ".join(wrong) or "readable, no console errors", not wrong)
