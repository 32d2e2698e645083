"""The page that uploads, in a real browser: drop, preview, columns, check, and all of it without a script."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from playwright.async_api import expect

from imagebatch_testing.browser import NARROW, Tab
from imagebatch_testing.local import picture
from imagebatch_testing.shop_and_system import Running
from imagebatch_testing.web import Page

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.integration]

A_BATCH = re.compile("/page/batches/")
NOTE_PROGRESS = """() => {
  window.told = new Set();
  const note = () => {
    const text = document.querySelector(".summary")?.textContent ?? "";
    if (text.includes("looked through")) window.told.add(text);
  };
  new MutationObserver(note).observe(document.querySelector("#preview"), { subtree: true, childList: true });
}"""
"""Remembers what the preview says while it counts."""

OpenTab = Callable[..., AbstractAsyncContextManager[Tab]]


def own_columns(system: Running, folder: Path) -> Path:
    """A CSV whose columns have names of nobody else."""
    system.shop.routes["/own/front.jpg"] = system.shop.routes["/own/back.jpg"] = Page(picture(1))
    front, back = system.shop.url("/own/front.jpg"), system.shop.url("/own/back.jpg")
    path = folder / "own.csv"
    path.write_text(f"Artikel;Bezeichnung;Foto;Rückseite\nA1;Stuhl, rot;{front};{back}\n", encoding="utf-8")
    return path


async def chosen(tab: Tab, path: Path) -> None:
    await tab.page.goto("/")
    await tab.page.set_input_files("#file", path)
    await expect(tab.page.locator("#preview table")).to_be_visible()


async def roles(tab: Tab) -> list[str]:
    """What each column holds, as the preview says it."""
    found: list[str] = await tab.page.locator("#preview select").evaluate_all(
        "all => all.map((one) => one.value)"
    )
    return found


async def test_a_dropped_file_is_shown_before_anything_is_sent(
    open_tab: OpenTab, system: Running, catalogue: Path
) -> None:
    async with open_tab() as tab:
        await tab.page.goto("/")
        sent: list[str] = []
        tab.page.on("request", lambda request: sent.append(request.method))
        await tab.drop("#drop", str(catalogue))
        await expect(tab.page.locator(".summary")).to_have_text(
            f"4 rows, 4 images from {system.shop.host} (4)"
        )
        await expect(tab.page.locator("#preview tbody tr")).to_have_count(4)
        assert await roles(tab) == ["serial", "name", "links"]
        assert set(sent) <= {"GET"}, "the icon at most"

        await tab.page.click("#send")
        await expect(tab.page).to_have_url(A_BATCH)
        await expect(tab.page.locator("main")).to_have_attribute("data-status", "complete")
        await expect(tab.page.locator("#grid li")).to_have_count(3)


async def test_columns_that_nobody_knows_are_said_by_the_user(
    open_tab: OpenTab, system: Running, tmp_path: Path
) -> None:
    async with open_tab() as tab:
        await chosen(tab, own_columns(system, tmp_path))
        await expect(tab.page.locator(".trouble")).to_contain_text("which column holds the image links")
        await expect(tab.page.locator("#send")).to_be_disabled()
        select = tab.page.locator("#preview select")
        await select.nth(0).select_option("serial")
        await select.nth(1).select_option("name")
        await select.nth(2).select_option("links")
        await select.nth(3).select_option("links")
        await expect(tab.page.locator(".summary")).to_contain_text("1 row, 2 images")
        await tab.page.click("#send")
        await expect(tab.page.locator("#grid li")).to_have_count(2)
        await expect(tab.page.locator("#grid .name").first).to_have_text("Stuhl, rot")


async def test_columns_that_are_typed_are_shown_and_sent(
    open_tab: OpenTab, system: Running, tmp_path: Path
) -> None:
    async with open_tab() as tab:
        await chosen(tab, own_columns(system, tmp_path))
        await tab.page.click("text=More options")
        await tab.page.fill("#columns", "serial=Artikel,links=Foto+Rückseite")
        await tab.page.press("#columns", "Tab")
        await expect(tab.page.locator(".summary")).to_contain_text("1 row, 2 images")
        assert await roles(tab) == ["serial", "", "links", "links"]
        await tab.page.click("#send")
        await expect(tab.page.locator("#grid li")).to_have_count(2)


async def test_one_column_holds_the_names_and_not_two(open_tab: OpenTab, catalogue: Path) -> None:
    async with open_tab() as tab:
        await chosen(tab, catalogue)
        select = tab.page.locator("#preview select")
        await select.nth(0).select_option("name")
        assert await select.nth(1).input_value() == ""


async def test_a_shops_export_is_known(open_tab: OpenTab, system: Running, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    system.shop.routes["/mug.jpg"] = Page(picture(2))
    path.write_text(f"Handle,Title,Body,Image Src\nmug,Mug,<p>x</p>,{system.shop.url('/mug.jpg')}\n")
    async with open_tab() as tab:
        await chosen(tab, path)
        assert await roles(tab) == ["serial", "name", "", "links"]
        await tab.page.click("#send")
        await expect(tab.page.locator("#grid li")).to_have_count(1)


async def test_lines_that_will_fail_are_named_and_a_check_keeps_nothing(
    open_tab: OpenTab, system: Running, tmp_path: Path
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(
        "Serial Number,Product Name,Input Image Urls\n"
        f'1,"A chair,\nred",{system.shop.url("/p.jpg")}\n'
        "2,Lamp,htp:/oops\n"
        f"3,Shoe,{system.shop.url('/q.jpg')},{system.shop.url('/r.jpg')}\n"
        f"4,Hat,{system.shop.url('/q.jpg')},red,green\n"
    )
    async with open_tab() as tab:
        await chosen(tab, path)
        warnings = tab.page.locator(".trouble li")
        await expect(warnings).to_have_count(2)
        await expect(warnings.nth(0)).to_have_text("Line 4: “htp:/oops” is no link to a picture")
        await expect(warnings.nth(1)).to_contain_text("Line 6: 5 cells where the header has 3")
        before = (await system.up.http.get("/batches")).json()
        await tab.page.click("#check")
        await expect(tab.page.locator("#said")).to_contain_text("Line 6: 5 fields where the header has 3")
        await tab.page.click("#send")
        await expect(tab.page.locator("#said")).to_contain_text("Line 6: 5 fields where the header has 3")
        assert (await system.up.http.get("/batches")).json() == before


async def test_a_large_file_is_counted_while_the_page_answers(open_tab: OpenTab, tmp_path: Path) -> None:
    """30 MB in pieces: between them the page does what its user asks."""
    path = tmp_path / "large.csv"
    rows = "".join(f'{n},"Product {n}, ""large""",http://a.example/{n:060}.jpg\n' for n in range(1000))
    path.write_text("Serial Number,Product Name,Input Image Urls\n" + rows * 300)
    async with open_tab() as tab:
        await tab.page.goto("/")
        await tab.page.evaluate(NOTE_PROGRESS)
        await tab.page.set_input_files("#file", path)
        await tab.page.fill("#quality", "40")
        await expect(tab.page.locator(".summary")).to_have_text(
            "300,000 rows, 300,000 images from a.example (300,000)", timeout=120_000
        )
        assert await tab.page.evaluate("window.told.size") > 10


async def test_a_quote_that_is_never_closed_is_named(open_tab: OpenTab, tmp_path: Path) -> None:
    path = tmp_path / "open.csv"
    rows = "".join(f"{n},Product {n},http://a.example/{n}.jpg\n" for n in range(50_000))
    path.write_text(f'Serial Number,Product Name,Input Image Urls\n1,"Chair,http://a.example/1.jpg\n{rows}')
    async with open_tab() as tab:
        await chosen(tab, path)
        await expect(tab.page.locator(".trouble")).to_contain_text("line 2 is over 1 MiB")


async def test_what_the_form_says_is_what_is_done(open_tab: OpenTab, catalogue: Path) -> None:
    async with open_tab() as tab:
        await chosen(tab, catalogue)
        await tab.page.select_option("#format", "webp")
        await tab.page.fill("#maxWidth", "50")
        await tab.page.click("text=More options")
        await tab.page.select_option("#inPlace", "true")
        await tab.page.click("#send")
        await expect(tab.page.locator("#grid li")).to_have_count(3)
        first = tab.page.locator("#grid a").first
        assert (await first.get_attribute("data-about")) == "jpeg → webp, 50 × 50"  # noqa: RUF001 - as it is shown


async def test_a_file_in_another_encoding_is_read_by_the_chosen_one(
    open_tab: OpenTab, tmp_path: Path
) -> None:
    path = tmp_path / "cyrillic.csv"
    path.write_bytes(
        "Serial Number,Product Name,Input Image Urls\n1,Стул,http://a.example/1.jpg\n".encode("cp1251")
    )
    async with open_tab() as tab:
        await chosen(tab, path)
        await tab.page.click("text=More options")
        await tab.page.select_option("#encoding", "windows-1251")
        await expect(tab.page.locator("#preview td").nth(1)).to_have_text("Стул")


async def test_without_a_script_a_file_is_uploaded_and_followed(
    open_tab: OpenTab, system: Running, tmp_path: Path
) -> None:
    content, may_come = system.held_csv(good=2)
    path = tmp_path / "products.csv"
    path.write_bytes(content)
    async with open_tab(scripts=False) as tab:
        await tab.page.goto("/")
        await tab.page.set_input_files("#file", path)
        await tab.page.click("#send")
        await expect(tab.page).to_have_url(A_BATCH)
        await expect(tab.page.locator("#recent img")).to_have_count(2)
        may_come.set()
        await expect(tab.page.locator("#grid li")).to_have_count(3)


async def test_without_a_script_a_refusal_names_the_line(open_tab: OpenTab, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("Serial Number,Product Name,Input Image Urls\n1,x,http://a.example/1.jpg,y\n")
    async with open_tab(scripts=False) as tab:
        await tab.page.goto("/")
        await tab.page.set_input_files("#file", path)
        await tab.page.click("#send")
        await expect(tab.page.locator("main .notice")).to_contain_text("Line 2:")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), NARROW, (320, 640)], ids=["wide", "narrow", "narrowest"])
async def test_the_form_and_its_preview_are_for_everybody(
    open_tab: OpenTab, catalogue: Path, scheme: str, size: tuple[int, int]
) -> None:
    async with open_tab(scheme=scheme, size=size) as tab:
        await tab.page.goto("/")
        assert await tab.accessibility() == []
        await chosen(tab, catalogue)
        await tab.page.click("text=More options")
        assert await tab.accessibility() == []
        assert await tab.overflow() == 0


async def test_the_keyboard_alone_uploads(open_tab: OpenTab, catalogue: Path) -> None:
    async with open_tab() as tab:
        await chosen(tab, catalogue)
        await tab.page.focus("#file")
        for _ in range(20):
            await tab.page.keyboard.press("Tab")
            if await tab.page.evaluate("document.activeElement.id") == "send":
                break
        await tab.page.keyboard.press("Enter")
        await expect(tab.page.locator("#grid li")).to_have_count(3)
