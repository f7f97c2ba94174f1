"""A conversation on the page loses nothing: over reloads, other tabs, broken lines and servers that go away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

import pytest
from playwright.sync_api import BrowserContext, WebSocket, expect

from tests.page.conftest import Visitor
from tests.page.meddling_proxy import MeddlingProxy
from tests.page.scripted_engine import ScriptedEngine, counted
from tests.page.test_accounts_on_the_page import sign_in, sign_up
from tests.pdfs import make_pdf
from tests.product import Product

KEPT_FILES = """() => new Promise(resolve => {
    const opening = indexedDB.open("miva", 1)
    opening.onsuccess = () => {
        const counting = opening.result.transaction("files").objectStore("files").count()
        counting.onsuccess = () => resolve(counting.result)
    }
})"""


def expect_counted(visitor: Visitor, words: int, number: int = -1) -> None:
    """Waits for the end of an answer to “count …”, and sees that it has each word once."""
    visitor.wait_until("done", number)
    expect(visitor.turn(number).locator(".answer-text")).to_have_text(counted(words))


def test_a_reload_in_the_middle_of_an_answer_shows_the_conversation_and_goes_on(
    scripted: Visitor, scripted_engine: ScriptedEngine
) -> None:
    page = scripted.open()
    scripted.ask("hello")
    scripted.wait_until("done")
    before = scripted_engine.counted
    scripted.ask("count 60")
    expect(scripted.turn().locator(".answer-text")).to_contain_text("word5")
    page.reload()
    expect(page.locator(".question-text")).to_have_text(["hello", "count 60"])
    expect(scripted.turn(0).locator(".answer-text")).to_have_text("You asked: hello")
    expect(scripted.turn().locator(".answer-text")).to_contain_text("word5")
    expect_counted(scripted, 60)
    page.reload()
    expect_counted(scripted, 60)
    assert scripted_engine.counted == before + 1


def test_another_tab_on_the_same_conversation_shows_the_same_and_can_go_on_and_stop(
    scripted: Visitor, context: BrowserContext
) -> None:
    page = scripted.open()
    scripted.ask("count 40")
    expect(scripted.turn().locator(".answer-text")).to_contain_text("word3")
    other = Visitor(context.new_page(), page.url)
    other.open()
    for visitor in (scripted, other):
        expect_counted(visitor, 40)
    other.ask("endless")
    expect(scripted.turn(1).locator(".answer-text")).to_contain_text("word3")
    scripted.ask("and then?")
    other.wait_until("queued", 2)
    page.get_by_role("button", name="Stop").click()
    for visitor in (scripted, other):
        visitor.wait_until("cancelled", 1)
        visitor.wait_until("done", 2)
        expect(visitor.page.locator(".turn")).to_have_count(3)


def test_a_closed_tab_does_not_stop_its_answer(scripted: Visitor, context: BrowserContext) -> None:
    page = scripted.open()
    scripted.ask("count 40")
    expect(scripted.turn().locator(".answer-text")).to_contain_text("word3")
    address = page.url
    page.close()
    other = Visitor(context.new_page(), address)
    other.open()
    expect_counted(other, 40)


def test_new_chat_leaves_the_answer_running_and_back_leads_to_it(scripted: Visitor) -> None:
    page = scripted.open()
    scripted.ask("count 40")
    expect(scripted.turn().locator(".answer-text")).to_contain_text("word3")
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".turn")).to_have_count(0)
    scripted.ask("something else")
    scripted.wait_until("done")
    page.go_back()
    expect_counted(scripted, 40)
    page.go_forward()
    expect(page.locator(".question-text")).to_have_text(["something else"])


def test_names_of_documents_are_there_again_after_a_reload(visitor: Visitor, context: BrowserContext) -> None:
    page = visitor.open()
    visitor.drop(("tea.pdf", make_pdf(["The tea comes from the hills of Ilam."])))
    visitor.ask("Where does the tea come from?")
    visitor.wait_until("done")
    page.reload()
    expect(visitor.turn().locator(".about li")).to_have_text(["tea.pdf"])
    expect(visitor.chip("tea.pdf")).to_contain_text("1 page")
    other = Visitor(context.new_page(), page.url)
    other.open()
    expect(other.turn().locator(".about li")).to_have_text(["tea.pdf"])
    visitor.ask("Which hills?")
    visitor.wait_until("done", 1)
    expect(visitor.turn().locator(".about li")).to_have_text(["tea.pdf"])


def test_a_file_that_was_deleted_elsewhere_is_named_and_left_out_of_the_next_question(
    visitor: Visitor, context: BrowserContext
) -> None:
    page = visitor.open()
    visitor.drop(("tea.txt", b"The tea comes from the hills of Ilam."), ("cake.txt", b"The cake comes from Linz."))
    visitor.ask("Where does the tea come from?")
    visitor.wait_until("done")
    other = Visitor(context.new_page(), page.url)
    other.open()
    expect(other.page.locator(".chip")).to_have_count(2)
    page.evaluate(
        """async () => {
            const { call } = await import("/static/http.js")
            const { answer } = await call("GET", "/api/document/")
            await call("DELETE", `/api/document/${answer.find(({ name }) => name === "tea.txt").id}/`)
        }"""
    )
    for number, one in enumerate((other, visitor), 1):
        one.ask("And where does the cake come from?")
        one.wait_until("failed")
        expect(one.turn().locator(".status")).to_have_text("This was not answered, because tea.txt was deleted.")
        if one is visitor:
            expect(one.chip("tea.txt")).to_contain_text("This file was deleted.")
        one.page.get_by_role("button", name="Ask again").click()
        one.wait_until("done", number)
        expect(one.turn(number).locator(".answer-text")).to_contain_text("Linz")
        expect(one.page.locator(".chip-name")).to_have_text(["cake.txt"])


def test_another_tab_asks_about_the_files_that_it_shows(visitor: Visitor, context: BrowserContext) -> None:
    page = visitor.open()
    tea, cake = make_pdf(["The tea comes from the hills of Ilam."]), make_pdf(["The cake comes from the town of Linz."])
    visitor.drop(("tea.pdf", tea), ("cake.pdf", cake))
    visitor.ask("Where does the tea come from?")
    visitor.wait_until("done")
    other = Visitor(context.new_page(), page.url)
    other.open()
    expect(other.page.locator(".chip")).to_have_count(2)
    expect(other.chip("tea.pdf")).to_contain_text("from this conversation")
    expect(other.page.get_by_label("Your question")).to_have_attribute("placeholder", "Ask about these 2 files")
    other.chip("cake.pdf").get_by_role("button", name="Remove cake.pdf").click()
    expect(other.page.locator(".chip-name")).to_have_text(["tea.pdf"])
    other.ask("And where do the hills lie?")
    other.wait_until("done", 1)
    for one in (other, visitor):
        expect(one.turn(1).locator(".about li")).to_have_text(["tea.pdf"])
    other.drop(("cake.pdf", cake))
    expect(other.chip("cake.pdf")).to_contain_text("1 page")
    other.ask("Where does the cake come from?")
    other.wait_until("done", 2)
    expect(other.turn(2).locator(".about li")).to_have_count(2)
    expect(other.turn(2).locator(".answer-text")).to_contain_text("Linz")


def test_the_last_file_of_a_conversation_is_shown_as_long_as_questions_are_about_it(visitor: Visitor) -> None:
    page = visitor.open()
    visitor.drop(("tea.pdf", make_pdf(["The tea comes from the hills of Ilam."])))
    expect(visitor.chip("tea.pdf")).to_contain_text("1 page")
    visitor.chip("tea.pdf").get_by_role("button", name="Remove tea.pdf").click()
    expect(page.locator(".chip")).to_have_count(0)  # nothing was asked about it
    visitor.drop(("tea.pdf", make_pdf(["The tea comes from the hills of Ilam."])))
    visitor.ask("Where does the tea come from?")
    visitor.wait_until("done")
    visitor.chip("tea.pdf").get_by_role("button", name="Remove tea.pdf").click()
    known = "Still used here. A new chat, or another file, leaves it out."
    expect(visitor.chip("tea.pdf")).to_contain_text(known)
    expect(visitor.chip("tea.pdf").get_by_role("button")).to_be_hidden()
    visitor.ask("Which hills?")
    visitor.wait_until("done", 1)
    expect(visitor.turn(1).locator(".answer-text")).to_contain_text("Ilam")
    expect(visitor.turn(1).locator(".about li")).to_have_text(["tea.pdf"])
    page.reload()
    expect(visitor.turn(1).locator(".about li")).to_have_text(["tea.pdf"])
    expect(visitor.chip("tea.pdf")).to_contain_text(known)
    visitor.drop(("cake.pdf", make_pdf(["The cake comes from the town of Linz."])))
    expect(page.locator(".chip-name")).to_have_text(["cake.pdf"])
    visitor.ask("Where does it come from?")
    visitor.wait_until("done", 2)
    expect(visitor.turn(2).locator(".about li")).to_have_text(["cake.pdf"])
    expect(visitor.turn(2).locator(".answer-text")).to_contain_text("Linz")
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".chip")).to_have_count(0)


@pytest.fixture(scope="module")
def product_that_ends(tmp_path_factory: pytest.TempPathFactory, scripted_engine: ScriptedEngine) -> Iterator[Product]:
    """A product that tests may kill and start again."""
    product = Product(tmp_path_factory.mktemp("mortal"), MIVA_ENGINE_URL=scripted_engine.url, MIVA_LEASE_S="2")
    yield product
    product.kill()


class TestAServerThatGoesAway:
    @pytest.fixture
    def mortal(self, product_that_ends: Product) -> Product:
        process = product_that_ends.process
        return product_that_ends if process and process.poll() is None else product_that_ends.start()

    def test_an_answer_that_its_death_interrupts_is_given_whole_after_it(
        self, context: BrowserContext, mortal: Product
    ) -> None:
        visitor = Visitor(context.new_page(), mortal.url)
        page = visitor.open()
        visitor.ask("count 60")
        expect(visitor.turn().locator(".answer-text")).to_contain_text("word5")
        mortal.kill()
        expect(visitor.turn().locator(".status")).to_contain_text("comes when the connection is back")
        expect(page.locator("#banner")).to_contain_text("The connection to the server is lost.")
        expect(page.locator("#banner-countdown")).to_have_text(re.compile(r"Trying again in \d+ s\.|Connecting…"))
        visitor.ask("are you back?")
        expect(visitor.turn().locator(".status")).to_contain_text("Not sent yet")
        mortal.start()
        visitor.wait_until_connected()
        expect(page.locator("#banner")).to_be_hidden()
        expect_counted(visitor, 60, 0)
        visitor.wait_until("done", 1)
        expect(visitor.turn().locator(".answer-text")).to_have_text("You asked: are you back?")
        page.reload()
        expect_counted(visitor, 60, 0)
        expect(page.locator(".turn")).to_have_count(2)

    def test_what_the_log_does_not_hold_any_more_is_shown_from_the_messages(
        self, context: BrowserContext, mortal: Product
    ) -> None:
        visitor = Visitor(context.new_page(), mortal.url)
        page = visitor.open()
        for number, question in enumerate(("count 3", "**bold** words")):
            visitor.ask(question)
            visitor.wait_until("done", number)
        shown = page.locator(".transcript").inner_html()
        prune = "from django.utils import timezone; from miva import eventlog; print(eventlog.prune(timezone.now()))"
        assert int(mortal.run("shell", "-v", "0", "-c", prune).stdout.strip()) > 0
        page.reload()
        visitor.wait_until("done", 1)
        assert page.locator(".transcript").inner_html() == shown
        visitor.ask("and then?")
        visitor.wait_until("done", 2)
        expect(page.locator(".question-text")).to_have_text(["count 3", "**bold** words", "and then?"])

    def test_where_sockets_are_cut_it_is_the_same(self, context: BrowserContext, mortal: Product) -> None:
        with MeddlingProxy(mortal.port) as proxy:
            proxy.strips_upgrades = True
            visitor = Visitor(context.new_page(), proxy.url)
            page = visitor.open()
            visitor.ask("count 60")
            expect(visitor.turn().locator(".answer-text")).to_contain_text("word5")
            mortal.kill()
            expect(page.locator("#banner")).to_contain_text("The connection to the server is lost.")
            visitor.ask("are you back?")
            mortal.start()
            visitor.wait_until_connected()
            expect_counted(visitor, 60, 0)
            visitor.wait_until("done", 1)

    def test_an_orderly_stop_is_called_a_restart(self, context: BrowserContext, mortal: Product) -> None:
        visitor = Visitor(context.new_page(), mortal.url)
        page = visitor.open()
        visitor.ask("count 60")
        expect(visitor.turn().locator(".answer-text")).to_contain_text("word5")
        mortal.stop()
        expect(page.locator("#banner")).to_contain_text("The server is restarting.")
        mortal.start()
        visitor.wait_until_connected()
        expect_counted(visitor, 60)


class TestALineThatBreaks:
    @pytest.fixture
    def proxy(self, scripted_product: Product) -> Iterator[MeddlingProxy]:
        with MeddlingProxy(scripted_product.port) as proxy:
            yield proxy

    def test_again_and_again_in_the_middle_of_an_answer(self, context: BrowserContext, proxy: MeddlingProxy) -> None:
        visitor = Visitor(context.new_page(), proxy.url)
        visitor.open()
        visitor.ask("count 80")
        for word in ("word5", "word25", "word45"):
            expect(visitor.turn().locator(".answer-text")).to_contain_text(word)
            proxy.break_lines()
        expect_counted(visitor, 80)

    def test_in_the_middle_of_a_file(self, context: BrowserContext, proxy: MeddlingProxy) -> None:
        visitor = Visitor(context.new_page(), proxy.url)
        lines: list[int] = []  # bytes that went up on each
        sizes: list[int] = []

        def sent(frame: bytes | str) -> None:
            lines[-1] += len(frame) if isinstance(frame, bytes) else 0
            sizes.append(len(frame))

        def opened(socket: WebSocket) -> None:
            lines.append(0)
            socket.on("framesent", sent)

        visitor.page.on("websocket", opened)
        visitor.open()
        proxy.breaks_after = 500_000
        random = Random(7)  # so that the browser cannot make the frames much smaller
        text = b"\n".join(random.randbytes(40).hex().encode() for _ in range(40_000))
        visitor.pick(("long.txt", text))
        expect(visitor.chip("long.txt")).to_have_attribute("data-status", "ready")
        assert len(lines) == 2
        assert 0 < lines[1] < len(text)
        assert max(sizes) <= 256 * 1024
        assert visitor.page.evaluate(KEPT_FILES) == 0


class TestWhereSocketsAreCut:
    @pytest.fixture
    def proxy(self, scripted_product: Product) -> Iterator[MeddlingProxy]:
        with MeddlingProxy(scripted_product.port) as proxy:
            proxy.strips_upgrades = True
            yield proxy

    @pytest.fixture
    def visitor(self, context: BrowserContext, proxy: MeddlingProxy) -> Visitor:
        return Visitor(context.new_page(), proxy.url)

    def test_a_person_asks_stops_and_reads_all_the_same(
        self, visitor: Visitor, scripted_engine: ScriptedEngine
    ) -> None:
        page = visitor.open()
        expect(page.locator("#connection")).to_have_attribute("title", re.compile("Over HTTP"))
        visitor.ask("count 40")
        expect(visitor.turn().locator(".answer-text")).to_contain_text("word3")
        page.reload()
        expect(visitor.turn().locator(".answer-text")).to_contain_text("word3")
        expect_counted(visitor, 40)
        scripted_engine.cancelled.clear()
        visitor.ask("endless")
        expect(visitor.turn().locator(".answer-text")).to_contain_text("word3")
        visitor.ask("and then?")
        visitor.wait_until("queued")
        page.get_by_role("button", name="Stop").click()
        visitor.wait_until("cancelled", 1)
        assert scripted_engine.cancelled.wait(10)
        visitor.wait_until("done", 2)

    def test_another_tab_shows_the_same(self, visitor: Visitor, context: BrowserContext) -> None:
        page = visitor.open()
        visitor.ask("count 40")
        expect(visitor.turn().locator(".answer-text")).to_contain_text("word3")
        other = Visitor(context.new_page(), page.url)
        other.open()
        other.ask("and then?")
        for one in (visitor, other):
            expect_counted(one, 40, 0)
            one.wait_until("done", 1)

    def test_files_are_sent_as_forms(self, visitor: Visitor) -> None:
        visitor.open()
        visitor.drop(("tea.pdf", make_pdf(["Tea needs patience."])), ("fake.pdf", b"no PDF"))
        expect(visitor.chip("tea.pdf")).to_contain_text("1 page")
        expect(visitor.chip("fake.pdf")).to_contain_text("not a PDF")
        visitor.ask("hello")
        visitor.wait_until("done")
        expect(visitor.turn().locator(".about li")).to_have_text(["tea.pdf"])

    def test_a_file_that_began_over_a_socket_is_sent_as_a_form(self, visitor: Visitor, proxy: MeddlingProxy) -> None:
        proxy.strips_upgrades = False
        page = visitor.open()
        proxy.breaks_after = 100_000
        random = Random(7)
        text = b"\n".join(random.randbytes(40).hex().encode() for _ in range(9_000))
        proxy.strips_upgrades = True
        visitor.pick(("long.txt", text))
        visitor.ask("hello")
        visitor.wait_until("done")
        expect(visitor.chip("long.txt")).to_have_attribute("data-status", "ready")
        expect(page.locator("#connection")).to_have_attribute("title", re.compile("Over HTTP"))

    def test_an_upload_that_breaks_can_be_tried_again(self, visitor: Visitor) -> None:
        page = visitor.open()
        page.route("**/api/document/", lambda route: route.abort("connectionreset"), times=1)
        visitor.drop(("tea.pdf", make_pdf(["Tea needs patience."])))
        expect(visitor.chip("tea.pdf")).to_contain_text("The connection broke while the file was sent.")
        visitor.chip("tea.pdf").get_by_role("button", name="Try again").click()
        expect(visitor.chip("tea.pdf")).to_contain_text("1 page")

    def test_broken_lines_are_made_good(self, visitor: Visitor, proxy: MeddlingProxy) -> None:
        visitor.open()
        visitor.ask("count 80")
        for word in ("word5", "word30"):
            expect(visitor.turn().locator(".answer-text")).to_contain_text(word)
            proxy.break_lines()
        expect_counted(visitor, 80)

    def test_a_page_that_nobody_looks_at_gives_its_connection_back_and_catches_up_later(self, visitor: Visitor) -> None:
        page = visitor.page
        page.clock.install()
        visitor.open()
        visitor.ask("count 40")
        expect(visitor.turn().locator(".answer-text")).to_contain_text("word3")
        look = """isHidden => {
            Object.defineProperty(document, "hidden", { value: isHidden, configurable: true })
            document.dispatchEvent(new Event("visibilitychange"))
        }"""
        page.evaluate(look, True)
        with page.expect_event("requestfailed", lambda request: "/events/" in request.url):
            page.clock.run_for(61_000)
        assert visitor.turn().get_attribute("data-status") == "running"
        page.evaluate(look, False)
        expect_counted(visitor, 40)

    def test_when_sockets_come_through_again_the_answer_goes_on_over_one(
        self, visitor: Visitor, proxy: MeddlingProxy
    ) -> None:
        page = visitor.open()
        visitor.ask("count 80")
        expect(visitor.turn().locator(".answer-text")).to_contain_text("word5")
        proxy.strips_upgrades = False
        page.evaluate("window.dispatchEvent(new Event('online'))")
        expect(page.locator("#connection")).to_have_attribute("title", "")
        visitor.wait_until_connected()
        expect_counted(visitor, 80)

    def test_after_signing_out_elsewhere_nothing_of_the_account_is_shown(
        self, visitor: Visitor, context: BrowserContext
    ) -> None:
        page = visitor.open()
        sign_up(visitor, "erin")
        sign_in(visitor, "erin")
        visitor.ask("hello")
        visitor.wait_until("done")
        other = Visitor(context.new_page(), visitor.url)
        other.open()
        other.page.get_by_role("button", name="Sign out").click()
        expect(other.page.locator("#speaker")).to_have_text("Guest")
        expect(page.locator("#notice")).to_contain_text("Your login has ended.")
        expect(page.locator(".turn")).to_have_count(0)
        visitor.ask("who am I?")
        visitor.wait_until("done")
