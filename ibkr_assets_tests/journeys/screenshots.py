"""`make screenshots`: the pictures of the README, taken anew from a stack that replays real bars.

Small files: few colours are enough for a page. A link of a running stack may be given instead of starting one.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from ibkr_assets_tests.browser import come_in, start_chromium
from ibkr_assets_tests.journeys.stacks import running_stack

IMAGES = Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES = 150_000
_SESSIONS = 40


def take(link: str) -> None:
    """Write the three pictures; `link` lets in once."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with start_chromium() as browser:
        cookies = come_in(browser, link)
        for name, scheme, width, height in (
            ("overview", "dark", 1360, 1340), ("order", "light", 1360, 900), ("phone", "dark", 390, 800),
        ):  # fmt: skip
            context = browser.new_context(
                base_url=link.partition("/login")[0], viewport={"width": width, "height": height},
                color_scheme=scheme,  # type: ignore[arg-type]
            )  # fmt: skip
            context.add_cookies(cookies)
            page = context.new_page()
            _open(page, name)
            _save(page.screenshot(), IMAGES / f"{name}.png")
            context.close()


def _open(page: Page, name: str) -> None:
    page.goto("/positions" if name == "order" else "/")
    if name == "order":
        page.locator("section[data-live=fills] tbody a").first.click()
        page.get_by_role("heading", name="Timeline").wait_for()
    elif name == "overview":
        page.locator("#chart[data-drawn]").wait_for(state="attached")
        page.wait_for_timeout(500)


def _save(png: bytes, path: Path) -> None:
    """With as many colours as keep it small."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in (256, 128, 64, 32):
        written = io.BytesIO()
        picture.quantize(colours).save(written, "PNG", optimize=True)
        if len(written.getvalue()) <= MOST_BYTES:
            break
    path.write_bytes(written.getvalue())
    sys.stdout.write(f"{path}: {len(written.getvalue()) / 1000:.0f} kB, {colours} colours\n")


def main() -> None:
    """Take them from the stack whose link is given, or from one that is started for it."""
    if len(sys.argv) > 1:
        take(sys.argv[1])
        return
    with (
        tempfile.TemporaryDirectory(prefix="screenshots-") as directory,
        running_stack(Path(directory), "--sessions", str(_SESSIONS)) as stack,
    ):
        take(stack.link())


if __name__ == "__main__":
    main()
