"""The catalogues in examples/, as shops' systems export them, each through a local system with its preset."""

import asyncio
import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imagebatch import links
from imagebatch.csv.columns import PRESETS
from imagebatch.csv.rows import OUTPUT_COLUMN
from imagebatch_cli.data_folder import free_ports
from imagebatch_testing.local import Up

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

CATALOGUES = Path(__file__).resolve().parents[2] / "examples" / "catalogues"
LINK_COLUMNS = {
    "shopify": ["Image Src"],
    "woocommerce": ["Images"],
    "magento": ["base_image", "additional_images"],
    "prestashop": ["Image URLs (x,y,z...)"],
}
PRODUCTS = {"shopify": "Handle", "woocommerce": "SKU", "magento": "sku", "prestashop": "Product ID"}
DEAD = 4
"""Products of each catalogue whose last link answers 404."""

Table = list[dict[str, str]]


@dataclass(frozen=True)
class Sold:
    """A catalogue before and after: its status at its end, and the CSVs as tables."""

    preset: str
    status: dict[str, Any]
    before: Table
    after: Table
    in_place: Table


def table(text: str) -> Table:
    delimiter = ";" if ";" in text.splitlines()[0] else ","
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


@pytest.fixture(scope="module")
def sold(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sold]:
    """Every catalogue, run once as it is and once with the new links in place."""
    return asyncio.run(_sell_all(tmp_path_factory.mktemp("catalogues")))


async def _sell_all(folder: Path) -> dict[str, Sold]:
    (port,) = free_ports(1)
    async with Up(folder / "data", IMAGEBATCH_EXAMPLES_PORT=str(port)) as up:
        return {preset: await _sell(up, preset, port) for preset in PRESETS}


async def _sell(up: Up, preset: str, port: int) -> Sold:
    content = (CATALOGUES / f"{preset}.csv").read_bytes().replace(b":8091/", f":{port}/".encode())
    status, after = await _run(up, content, {"preset": preset})
    _, in_place = await _run(up, content, {"preset": preset, "inPlace": "true"})
    return Sold(preset, status, table(content.decode("utf-8-sig")), after, in_place)


async def _run(up: Up, content: bytes, options: Mapping[str, str]) -> tuple[dict[str, Any], Table]:
    upload = await up.http.post(
        "/upload", params=options, content=content, headers={"Content-Type": "text/csv"}
    )
    assert upload.status_code == 202, upload.text
    status = await up.until_done(upload.json()["request_id"])
    assert status["status"] == "complete"
    return status, table((await up.http.get(status["output_csv"])).content.decode("utf-8-sig"))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_cell_comes_back_with_the_new_links_behind_it(sold: dict[str, Sold], preset: str) -> None:
    one = sold[preset]
    assert [{**row, OUTPUT_COLUMN: ""} for row in one.before] == [
        {**row, OUTPUT_COLUMN: ""} for row in one.after
    ]
    assert list(one.after[0]) == [*one.before[0], OUTPUT_COLUMN]
    for row in one.after:
        given = [link for column in LINK_COLUMNS[preset] for link in links.split(row[column])]
        new = row[OUTPUT_COLUMN].split(",") if given else []
        assert [bool(address) for address in new] == ["/gone/" not in link for link in given]


@pytest.mark.parametrize("preset", PRESETS)
def test_each_catalogue_has_two_hundred_products_and_four_dead_links(
    sold: dict[str, Sold], preset: str
) -> None:
    one = sold[preset]
    own = [row for row in one.before if row.get("Type") != "variation"]
    assert len({row[PRODUCTS[preset]] for row in own}) == 200
    assert one.status["failures"] == {"http_status": DEAD}
    assert one.status["images"]["succeeded"] > 400


@pytest.mark.parametrize("preset", PRESETS)
def test_in_place_a_shop_can_import_the_output(sold: dict[str, Sold], preset: str) -> None:
    """The new links stand where the old ones were; a dead one and every other cell are as before."""
    one = sold[preset]
    for before, after in zip(one.before, one.in_place, strict=True):
        new = iter(after[OUTPUT_COLUMN].split(","))
        for column in LINK_COLUMNS[preset]:
            given = links.split(before[column])
            expected = [next(new) or link for link in given]
            assert links.split(after[column]) == expected
        rest = before.keys() - set(LINK_COLUMNS[preset])
        assert {name: before[name] for name in rest} == {name: after[name] for name in rest}
