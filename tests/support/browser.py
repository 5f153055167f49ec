"""A headless browser on the web chat: what its tests and its screenshot share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ANSWER = '[data-testid="bot"]'
STOP_BUTTON = ".stop-button"
SUBMIT_BUTTON = '[data-testid="submit-button"]'


def chromium() -> str | None:
    """Debian's chromium; playwright's own browsers are downloads of their own."""
    return shutil.which("chromium")


@contextmanager
def open_browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's sandbox does not run as root, which CI is.
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class ChatPage:
    """The web chat as one visitor sees it, in a session of its own."""

    def __init__(self, browser: Any, url: str, width: int = 1000, height: int = 1000) -> None:
        self.page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        self.page.set_default_timeout(120_000)  # milliseconds
        self.page.goto(url)
        self.page.wait_for_selector(SUBMIT_BUTTON)

    def ask(self, question: str, images: list[Path] | None = None) -> None:
        """Sends a question and returns."""
        if images:
            self.page.set_input_files("input[type=file]", images)
            for image in images:
                self.page.wait_for_selector(f'.thumbnail-item img[src*="{image.name}"]')
        self.page.fill("textarea", question)
        self.page.click(SUBMIT_BUTTON)

    def wait_for_text(self, length: int) -> None:
        """Waits until the first answer has grown beyond a number of characters."""
        self.page.wait_for_function(
            f"document.querySelector('{ANSWER}')?.innerText.length > {length}"
        )

    def wait_for_answers(self, count: int) -> list[str]:
        """All answers, once there are `count` and the last is complete."""
        self.page.wait_for_function(
            f"document.querySelectorAll('{ANSWER}').length == {count}"
            f" && document.querySelector('{SUBMIT_BUTTON}')"
        )
        return self.answers()

    def answers(self) -> list[str]:
        """The text of the answers as the model gave it, before markdown is rendered."""
        prefix = "bot's message: "
        labels = [e.get_attribute("aria-label") for e in self.page.query_selector_all(ANSWER)]
        return [label[len(prefix) :] for label in labels if label.startswith(prefix)]
