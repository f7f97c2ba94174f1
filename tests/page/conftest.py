"""Headless Chromium in front of the running product."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, FilePayload, Page, expect, sync_playwright

from tests.page.scripted_engine import ScriptedEngine
from tests.product import Product

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first that is there is used. The first of them has no window to draw, and needs half the time of the others."""
# As root there is no sandbox; the rest keeps the browser from calling its maker's servers.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 30_000
# The browser itself notes every refused request and lost line there, whatever the page does about it.
OF_THE_BROWSER = ("Failed to load resource: the server responded with a status of 4", "WebSocket connection to ")


@dataclass
class Visitor:
    """A person's browser window on the chat, with what its console said."""

    page: Page
    url: str
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, address: str = "") -> Page:
        """Goes to an address of the product, and where this is the chat waits until the line is up."""
        self.page.goto(self.url + address)
        if address == "" or address.startswith("?"):
            self.wait_until_connected()
        return self.page

    def wait_until_connected(self) -> None:
        expect(self.page.locator("#connection")).to_have_text("Connected")

    def drop(self, *files: tuple[str, bytes]) -> None:
        """Drops files of these names and contents onto the page."""
        data = self.page.evaluate_handle(
            """files => {
                const data = new DataTransfer()
                for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name))
                return data
            }""",
            [[name, list(content)] for name, content in files],
        )
        self.page.dispatch_event("body", "dragenter", {"dataTransfer": data})
        expect(self.page.locator("#veil")).to_be_visible()
        self.page.dispatch_event("body", "drop", {"dataTransfer": data})
        expect(self.page.locator("#veil")).to_be_hidden()

    def pick(self, *files: tuple[str, bytes]) -> None:
        """Picks files in the file dialog."""
        with self.page.expect_file_chooser() as dialog:
            self.page.get_by_role("button", name="Add a PDF").click()
        dialog.value.set_files([FilePayload(name=name, mimeType="", buffer=content) for name, content in files])

    def ask(self, question: str) -> None:
        self.page.get_by_label("Your question").fill(question)
        self.page.get_by_label("Your question").press("Enter")

    def turn(self, number: int = -1) -> Any:
        """The locator of one question with its answer; the last one by default."""
        return self.page.locator(".turn").nth(number)

    def wait_until(self, status: str, number: int = -1) -> None:
        """Waits until a turn has come to `status`."""
        expect(self.turn(number)).to_have_attribute("data-status", status)

    def chip(self, name: str) -> Any:
        """The locator of a file's chip."""
        return self.page.locator(".chip", has_text=name)


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product with its embedded engine, as `uvicorn epsilon.asgi:application` starts it."""
    product = Product(tmp_path_factory.mktemp("product"))
    product.start()
    yield product
    product.stop()


@pytest.fixture(scope="session")
def scripted_engine() -> Iterator[ScriptedEngine]:
    """An engine that does what the question says."""
    with ScriptedEngine() as engine:
        yield engine


@pytest.fixture(scope="session")
def scripted_product(tmp_path_factory: pytest.TempPathFactory, scripted_engine: ScriptedEngine) -> Iterator[Product]:
    """The product in front of that engine."""
    product = Product(tmp_path_factory.mktemp("scripted"), MIVA_ENGINE_URL=scripted_engine.url)
    product.start()
    yield product
    product.stop()


@pytest.fixture(scope="session")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product where only people with an account may chat."""
    product = Product(tmp_path_factory.mktemp("private"), MIVA_ANONYMOUS="off")
    product.start()
    yield product
    product.stop()


# For a module, not for the session: while it lives, playwright keeps an event loop running, and asynchronous tests of
# other modules could not have theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """An installed Chromium; fails with what to install where there is none."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.fail("No browser for the tests of the page was found. Install Debian's package “chromium”.")
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile that has been nowhere yet."""
    context = browser.new_context(viewport={"width": 1280, "height": 820})
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


def _visit(context: BrowserContext, url: str) -> Iterator[Visitor]:
    visitor = Visitor(context.new_page(), url)

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(OF_THE_BROWSER):
            visitor.errors.append(message.text)
        elif message.type != "error":
            visitor.console.append(message.text)

    visitor.page.on("console", note)
    visitor.page.on("pageerror", lambda error: visitor.errors.append(str(error)))
    yield visitor
    assert visitor.errors == [], "the page left errors in the console"


@pytest.fixture
def visitor(context: BrowserContext, product: Product) -> Iterator[Visitor]:
    """A person in front of the product."""
    yield from _visit(context, product.url)


@pytest.fixture
def scripted(context: BrowserContext, scripted_product: Product) -> Iterator[Visitor]:
    """A person in front of the product with the scripted engine."""
    yield from _visit(context, scripted_product.url)
