"""The pages of a batch and of all batches, in a real browser: live, results, slider, retry, webhooks, tokens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from imagebatch_api import tokens
from imagebatch_testing.browser import NARROW, WIDE, Tab
from imagebatch_testing.example_shop import Hold, open_on
from imagebatch_testing.local import picture
from imagebatch_testing.receiver import Reply
from imagebatch_testing.shop_and_system import Running, running
from imagebatch_testing.web import Page

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.integration]

OpenTab = Callable[..., AbstractAsyncContextManager[Tab]]

AT = "Number(getComputedStyle(document.querySelector('.stage')).getPropertyValue('--at').replace('%', ''))"
BOTH_LOADED = "[...document.querySelectorAll('.stage img')].every((one) => one.complete && one.naturalWidth)"


async def an_ended_batch(system: Running, **fields: str) -> str:
    """Three pictures and a failure."""
    accepted = await system.up.upload(system.csv(good=3, missing=1), **fields)
    await system.up.until_done(accepted["request_id"])
    request_id: str = accepted["request_id"]
    return request_id


@pytest.fixture(scope="module")
async def ended(system: Running) -> str:
    """A batch that tests look at, and do not change."""
    return await an_ended_batch(system, webhook_url=system.receiver.url("/hook"))


async def test_a_batch_is_watched_while_its_pictures_come(open_tab: OpenTab, system: Running) -> None:
    hold = Hold.after(12)
    accepted = await system.up.upload(open_on(system.shop, hold, "/live"), rowsPerShard="4")
    await system.up.until_done(accepted["request_id"], images=10)
    async with open_tab() as tab:
        await tab.page.goto(f"/page/batches/{accepted['request_id']}")
        await expect(tab.page.locator("#recent img").first).to_be_visible()
        before = int(await tab.page.locator("[data-number=done]").inner_text())
        assert before < 69
        assert await tab.accessibility() == []
        hold.let_through(20)
        done = "Number(document.querySelector('[data-number=done]').textContent)"
        await tab.until(f"{done} >= {before + 8}")
        assert await tab.page.locator("progress.main").evaluate("one => one.value") > before / 69
        rate = "document.querySelector('[data-number=rate]').textContent"
        await tab.until(f"Number({rate}) > 0")
        await tab.until("document.querySelectorAll('#recent img').length === 12")
        hold.let_go()
        await expect(tab.page.locator("main")).to_have_attribute("data-status", "complete")
        await expect(tab.page.locator("#grid li")).to_have_count(24)
        await expect(tab.page.get_by_role("link", name="Output CSV")).to_be_visible()


async def test_where_no_stream_of_events_is_to_be_had_the_page_asks(
    open_tab: OpenTab, system: Running
) -> None:
    content, may_come = system.held_csv()
    accepted = await system.up.upload(content)
    async with open_tab() as tab:
        await tab.page.route("**/events", lambda route: route.fulfill(status=429))
        await tab.page.goto(f"/page/batches/{accepted['request_id']}")
        await expect(tab.page.locator("[data-number=done]")).to_have_text("1")
        may_come.set()
        await expect(tab.page.locator("#grid li")).to_have_count(2)


async def test_failures_come_first_with_what_to_do_and_a_retry_mends_them(
    open_tab: OpenTab, system: Running
) -> None:
    request_id = await an_ended_batch(system)
    async with open_tab() as tab:
        await tab.page.goto(f"/page/batches/{request_id}")
        await expect(tab.page.locator("section h2").first).to_have_text("What failed, and what to do")
        await expect(tab.page.locator(".failure .advice")).to_contain_text("404 and 410: correct the link.")
        link = await tab.page.locator(".failure .link").inner_text()
        system.shop.routes[link.removeprefix(system.shop.url(""))] = Page(picture(5))
        await tab.page.get_by_role("button", name="Try failed images again").press("Enter")
        await expect(tab.page.locator("#grid li")).to_have_count(4)
        await expect(tab.page.locator(".failure")).to_have_count(0)


async def test_the_divider_is_moved_by_mouse_and_keyboard(open_tab: OpenTab, ended: str) -> None:
    async with open_tab() as tab:
        await tab.page.goto(f"/page/batches/{ended}")
        await tab.page.locator("#grid a").first.press("Enter")
        await tab.until(BOTH_LOADED)
        assert await tab.page.evaluate(AT) == 50
        assert await tab.accessibility() == []

        await tab.page.keyboard.press("ArrowRight")
        assert await tab.page.evaluate(AT) == 51
        await tab.page.keyboard.press("Home")
        assert await tab.page.evaluate(AT) == 0

        box = await tab.page.locator(".stage").bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        await tab.page.mouse.move(box["x"] + box["width"] * 0.3, middle)
        await tab.page.mouse.down()
        await tab.page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=5)
        await tab.page.mouse.up()
        assert 75 <= await tab.page.evaluate(AT) <= 85
        clipped = await tab.page.locator(".stage .source").evaluate("one => getComputedStyle(one).clipPath")
        assert clipped != "none"

        title = tab.page.locator("dialog h2")
        first = await title.inner_text()
        await tab.page.get_by_role("button", name="Next").click()
        await expect(title).not_to_have_text(first)
        await tab.page.keyboard.press("Escape")
        await expect(tab.page.locator("dialog")).to_have_count(0)
        await expect(tab.page.locator("#grid a").nth(1)).to_be_focused()


async def test_pictures_are_asked_for_without_a_referrer(
    open_tab: OpenTab, system: Running, ended: str
) -> None:
    system.shop.seen_headers.clear()
    async with open_tab() as tab:
        await tab.page.goto(f"/page/batches/{ended}")
        await tab.page.locator("#grid a").first.click()
        await tab.until(BOTH_LOADED)
    assert system.shop.seen_headers
    assert not [headers for headers in system.shop.seen_headers if "referer" in headers]


async def test_a_webhook_that_failed_is_sent_again(open_tab: OpenTab, system: Running) -> None:
    system.receiver.replies["/down"] = Reply(410)
    request_id = await an_ended_batch(system, webhook_url=system.receiver.url("/down"))
    async with open_tab() as tab:
        await tab.page.goto(f"/page/batches/{request_id}")
        await expect(tab.page.locator("#webhooks .state")).to_have_text("Failed")
        assert await tab.accessibility() == []
        system.receiver.replies["/down"] = Reply(200)
        await tab.page.get_by_role("button", name="Send the last one again").click()
        await expect(tab.page.locator("#webhooks .state")).to_have_text("Delivered")


async def test_more_pictures_are_added_below(open_tab: OpenTab, system: Running) -> None:
    accepted = await system.up.upload(open_on(system.shop))
    await system.up.until_done(accepted["request_id"])
    async with open_tab() as tab:
        await tab.page.goto(f"/page/batches/{accepted['request_id']}")
        for shown in (48, 60):
            await tab.page.get_by_role("link", name="More pictures").click()
            await expect(tab.page.locator("#grid li")).to_have_count(shown)
        await expect(tab.page.get_by_role("link", name="More pictures")).to_have_count(0)
    async with open_tab(scripts=False) as tab:
        await tab.page.goto(f"/page/batches/{accepted['request_id']}")
        await tab.page.get_by_role("link", name="More pictures").click()
        await expect(tab.page.locator("#grid li")).to_have_count(24)


async def test_a_batch_is_suspended_resumed_and_cancelled(open_tab: OpenTab, system: Running) -> None:
    content, may_come = system.held_csv()
    accepted = await system.up.upload(content)
    for scripts in (True, False):
        async with open_tab(scripts=scripts) as tab:
            await tab.page.goto(f"/page/batches/{accepted['request_id']}")
            await tab.page.get_by_role("button", name="Suspend").click()
            await tab.page.get_by_role("button", name="Resume").click()
            await expect(tab.page.get_by_role("button", name="Suspend")).to_be_visible()
    async with open_tab() as tab:
        await tab.page.goto(f"/page/batches/{accepted['request_id']}")
        await tab.page.get_by_role("button", name="Cancel").click()
        await expect(tab.page.locator("#live .state")).to_have_text("Cancelled")
    may_come.set()


async def test_the_list_leads_to_a_batch(open_tab: OpenTab, ended: str) -> None:
    async with open_tab(scripts=False) as tab:
        await tab.page.goto("/")
        await tab.page.get_by_role("link", name="Batches").click()
        await tab.page.locator(f"a[href$='{ended}']").click()
        await expect(tab.page.locator("#grid li")).to_have_count(3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW, (320, 640)], ids=["wide", "narrow", "narrowest"])
async def test_batches_are_for_everybody(
    open_tab: OpenTab, ended: str, scheme: str, size: tuple[int, int]
) -> None:
    async with open_tab(scheme=scheme, size=size) as tab:
        for path in ("/page/batches", f"/page/batches/{ended}", "/page/batches/none"):
            await tab.page.goto(path)
            assert await tab.accessibility() == []
            assert await tab.overflow() == 0
        await tab.page.goto(f"/page/batches/{ended}")
        await tab.page.locator("#grid a").first.click()
        await tab.until(BOTH_LOADED)
        assert await tab.accessibility() == []
        inside = "(() => { const one = document.querySelector('dialog'); return one.scrollWidth - one.clientWidth })()"
        assert await tab.page.evaluate(inside) == 0


# -- with tokens -----------------------------------------------------------------------------------------

SHOP, RIVAL = tokens.make(), tokens.make()


class TestTokens:
    @pytest.fixture(scope="class")
    async def guarded(
        self,
        chromium: Browser,  # noqa: ARG002 - without a browser it is not started
        tmp_path_factory: pytest.TempPathFactory,
    ) -> AsyncIterator[Running]:
        folder = tmp_path_factory.mktemp("guarded")
        entries = [tokens.entry_of("shop", SHOP), tokens.entry_of("rival", RIVAL)]
        (folder / "tokens").write_text("\n".join(map(str, entries)))
        async with running(folder, IMAGEBATCH_API_TOKENS_FILE=str(folder / "tokens")) as started:
            yield started

    async def test_a_token_uploads_watches_and_downloads(
        self, open_tab: OpenTab, guarded: Running, tmp_path: Path
    ) -> None:
        path = tmp_path / "products.csv"
        path.write_bytes(guarded.csv(good=2, missing=1))
        async with open_tab(guarded.url) as tab:
            await tab.page.goto("/")
            await expect(tab.page.locator("#send")).to_be_disabled()
            await sign_in(tab, SHOP)
            await tab.page.set_input_files("#file", path)
            await tab.page.click("#send")
            await expect(tab.page.locator("#grid li")).to_have_count(2)
            async with tab.page.expect_download() as downloading:
                await tab.page.get_by_role("link", name="Failed images (CSV)").click()
            saved = await (await downloading.value).path()
            assert "HTTP 404" in await asyncio.to_thread(saved.read_text)
            address = tab.page.url
            await tab.page.get_by_role("button", name="Forget it").click()
            await expect(tab.page.locator("h1")).to_have_text("This server asks for a token")
            await sign_in(tab, RIVAL)
            await expect(tab.page.locator("main .notice")).to_contain_text("there is no request with this id")
            assert tab.page.url == address

    async def test_a_wrong_token_is_told_and_forgotten(self, open_tab: OpenTab, guarded: Running) -> None:
        async with open_tab(guarded.url) as tab:
            await tab.page.goto("/page/batches")
            assert await tab.accessibility() == []
            await sign_in(tab, "ib_wrong")
            await expect(tab.page.locator("main .notice")).to_contain_text("this token is not")
            await expect(tab.page.locator("#token")).to_be_visible()

    async def test_without_a_script_the_page_says_what_to_do(
        self, open_tab: OpenTab, guarded: Running
    ) -> None:
        async with open_tab(guarded.url, scripts=False) as tab:
            for path in ("/", "/page/batches"):
                await tab.page.goto(path)
                await expect(tab.page.locator("noscript .notice")).to_contain_text("curl")


async def sign_in(tab: Tab, token: str) -> None:
    await tab.page.fill("#token", token)
    async with tab.page.expect_navigation():
        await tab.page.press("#token", "Enter")
