"""Any catalogue in: columns that are not our own three, found, declared or by a preset; the rest passes through."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch.batch.plan import LAYOUT_VERSION, VERSION, Plan
from imagebatch.batch.shard import Report, ShardId, commit, write_fragment
from imagebatch.csv import rows
from imagebatch.csv.columns import PRESETS, UNDECLARED, ColumnNames, ColumnOptions
from imagebatch.csv.ingest import Reader, ingest
from imagebatch.csv.layout import TableLayout
from imagebatch.csv.merge import merge
from imagebatch.errors import InputRefusedError
from imagebatch.outcome import Counts, ErrorCode, ImageOutcome
from imagebatch.storage import keys
from imagebatch_testing.chopping import chopped
from imagebatch_testing.memory_store import MemoryStore

A, B, C = "http://a.test/1.jpg", "http://b.test/w_1,h_2/2.jpg", "http://c.test/3.jpg"
LINK = "https://shop.test/x.jpg"


def declared(text: str, *, in_place: bool = False) -> ColumnOptions:
    return ColumnOptions.parse({"columns": text, "inPlace": in_place})


def planned(
    text: str | bytes, options: ColumnOptions = UNDECLARED, step: int = 500
) -> tuple[MemoryStore, Plan]:
    store = MemoryStore()
    data = text.encode() if isinstance(text, str) else text
    return store, ingest(store, "r1", [data], columns=options, rows_per_shard=step).plan


def refusal(text: str, options: ColumnOptions = UNDECLARED) -> str:
    with pytest.raises(InputRefusedError) as caught:
        planned(text, options)
    (problem,) = caught.value.problems
    assert (problem.code, problem.line) == ("wrong_header", 1)
    return problem.message


def output(
    store: MemoryStore, plan: Plan, failing: frozenset[tuple[int, int]] = frozenset()
) -> list[list[str]]:
    """The output CSV when the plan's shards have run."""
    canonical = store.get(plan.input_of("r1"))
    for index, part in enumerate(plan.shards):
        data = canonical[part.offset : part.offset + part.length]
        outcomes = [
            failed(row, slot) if (row, slot) in failing else stored(row, slot)
            for row, cells in enumerate(rows.parse([data]), part.first_row)
            for slot in range(1, len(plan.layout.entries(cells)) + 1)
        ]
        shard = ShardId("r1", 1, index)
        commit(
            store, shard, Report("run1", write_fragment(store, shard, "run1", outcomes), part.rows, Counts())
        )
    merge(store, "r1", 1, plan)
    return table(store, keys.output("r1"), plan.dialect.delimiter)


def stored(row: int, slot: int) -> ImageOutcome:
    return ImageOutcome(row=row, slot=slot, name=keys.image_name(row, slot, "jpg"), bytes_in=10, bytes_out=4)


def failed(row: int, slot: int) -> ImageOutcome:
    return ImageOutcome(row=row, slot=slot, error=ErrorCode.HTTP_STATUS, message="HTTP 404")


def table(store: MemoryStore, key: str, delimiter: str = ",") -> list[list[str]]:
    text = store.get(key).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


def link(store: MemoryStore, row: int, slot: int) -> str:
    return store.link(keys.image_prefix("r1") + keys.image_name(row, slot, "jpg"))


# -- how columns are named -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("serial=Handle,name=Title,links=Image Src", ColumnNames("Handle", "Title", ("Image Src",))),
        ("links=a+b", ColumnNames("", "", ("a", "b"))),
        (" links = a , name = b ", ColumnNames("", "b", ("a",))),
        ("links=Image URLs (x,y,z...),serial=ID", ColumnNames("ID", "", ("Image URLs (x,y,z...)",))),
        ({"links": ["a", "b"], "name": "c"}, ColumnNames("", "c", ("a", "b"))),
    ],
)  # fmt: skip
def test_columns_are_named_by_role(text: object, names: ColumnNames) -> None:
    assert ColumnNames.parse(text) == names


@pytest.mark.parametrize(
    "text",
    ["", "Handle", "serial=a", "links=", "links=a,links=b", "x,links=a", {"links": []}, {"link": ["a"]}],
)
def test_what_names_no_columns_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        ColumnNames.parse(text)


@pytest.mark.parametrize(
    "given_",
    [
        {"columns": "nonsense"},
        {"preset": "ebay"},
        {"preset": "shopify", "columns": "links=a"},
        {"inPlace": "perhaps"},
    ],
)
def test_options_that_are_wrong_are_refused(given_: dict[str, str]) -> None:
    with pytest.raises(InputRefusedError) as caught:
        ColumnOptions.parse(given_)
    assert [problem.code for problem in caught.value.problems] == ["invalid_option"]


@pytest.mark.parametrize(
    "options",
    [
        ColumnOptions(),
        ColumnOptions(preset="shopify", in_place=True),
        ColumnOptions(columns=ColumnNames("a", "", ("b", "c"))),
    ],
)
def test_options_are_read_as_they_are_written(options: ColumnOptions) -> None:
    assert ColumnOptions.parse(options.as_spec()) == options


# -- which columns a header has ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "S. No.,Product,Image URLs",
        "serial_no,product_name,image_urls",
        "SERIAL NO,PRODUCT NAME,INPUT IMAGE URLS,Price",
        "Sr No,Product Title,Images",
        "Serial Number,Product Name,Input Image Urls,Price",
        "Serial Number,Product Name,Input Image Urls,Output Image Urls,Price",
        "\u200bSerial No\u200b,Product,Image Link",
    ],
)
def test_synonyms_of_our_own_headers_need_no_options(header: str) -> None:
    _, plan = planned(f"{header}\n7,Shirt,{LINK}\n")
    assert (plan.layout.serial, plan.layout.name, plan.layout.links) == (0, 1, (2,))
    assert plan.images == 1


def test_columns_may_stand_in_any_order_and_place() -> None:
    _, plan = planned(f"Price;Image URLs;Product;S.No\n3;{LINK};Shirt;1\n")
    assert plan.layout == TableLayout(("Price", "Image URLs", "Product", "S.No"), 3, 2, (1,))


def test_two_columns_for_one_thing_are_refused() -> None:
    assert "'Images' and 'Image URL' may both be meant" in refusal(
        f"S.No,Product,Images,Image URL\n1,a,{LINK},\n"
    )


def test_a_declared_header_that_occurs_twice_is_refused() -> None:
    assert "2 columns are called 'img'" in refusal(f"img,img\n{LINK},\n", declared("links=img"))


def test_a_header_with_a_plus_in_it_is_one_column() -> None:
    _, plan = planned(f"front+back,x\n{LINK},\n", declared("links=front+back"))
    assert plan.layout.links == (0,)


def test_a_header_that_is_not_mapped_is_shown_with_the_option() -> None:
    message = refusal(f"SKU,Title,Photo\n1,a,{LINK}\n")
    assert "the header is 'SKU,Title,Photo'" in message
    assert "columns=serial=…,name=…,links=…" in message


def test_the_export_of_a_shop_is_known_and_its_preset_named() -> None:
    assert "preset=shopify reads it" in refusal(f"Handle,Title,Image Src\na,b,{LINK}\n")


def test_a_preset_that_does_not_fit_says_what_it_looks_for() -> None:
    message = refusal(f"sku,title,image\n1,a,{LINK}\n", ColumnOptions(preset="magento"))
    assert "serial=sku,name=name,links=base_image+additional_images" in message


def test_declared_columns_that_are_not_there_are_refused() -> None:
    message = refusal(f"sku,title,photo\n1,a,{LINK}\n", declared("serial=SKU,links=Bild"))
    assert "has not all the columns of columns=serial=SKU,links=Bild" in message


@pytest.mark.parametrize(
    ("preset", "names"), [(preset, names) for preset, some in PRESETS.items() for names in some]
)
def test_each_preset_finds_each_of_its_headers(preset: str, names: ColumnNames) -> None:
    headers = ["First", names.serial, names.name, *names.links, "Last"]
    text = rows.record(headers, delimiter=";") + rows.record(
        ["", "1", "a", *[LINK] * len(names.links), ""], delimiter=";"
    )
    _, plan = planned(text, ColumnOptions(preset=preset))
    assert plan.images == len(names.links)


# -- what becomes of the rows ----------------------------------------------------------------------------


def test_other_columns_pass_through_in_their_places() -> None:
    text = (
        "Handle,Title,Body (HTML),Image Src,Price\r\n"
        f'shirt,Shirt,"<p class=""x"">a,\r\nb</p> ",{A}, 1.50 \r\n'
        f'shirt,,,"{B}",\r\n'
        "hat,Hat,=1+1,,2\r\n"
    )
    store, plan = planned(text, ColumnOptions(preset="shopify"), step=1)
    assert output(store, plan) == [
        ["Handle", "Title", "Body (HTML)", "Image Src", "Price", "Output Image Urls"],
        ["shirt", "Shirt", '<p class="x">a,\r\nb</p> ', A, " 1.50 ", link(store, 1, 1)],
        ["shirt", "", "", B, "", link(store, 2, 1)],
        ["hat", "Hat", "=1+1", "", "2", ""],
    ]


def test_several_columns_of_links_are_read_one_after_the_other() -> None:
    text = f'sku,base,more\n1,{A},"{B},{C}"\n2,,{C}\n'
    store, plan = planned(text, declared("serial=sku,links=base+more"))
    first, second = output(store, plan, frozenset({(1, 2)}))[1:]
    assert first[-1] == f"{link(store, 1, 1)},,{link(store, 1, 3)}"
    assert second[-1] == link(store, 2, 1)
    assert table(store, keys.errors("r1")) == [
        [*rows.COLUMNS, *rows.ERROR_COLUMNS],
        ["1", "", B, "http_status", "HTTP 404"],
    ], "errors.csv has our own columns, so that it can be uploaded as it is"


def test_in_place_the_new_links_take_the_places_of_the_old() -> None:
    text = f'Handle,Title,Image Src\na,A,"{A} | {B}, {C}"\nb,B,{A}\nc,C,"[""{A}"", ""{B}""]"\n'
    store, plan = planned(text, ColumnOptions(preset="shopify", in_place=True))
    found = output(store, plan, frozenset({(1, 2), (2, 1)}))[1:]
    assert found[0][2] == f"{link(store, 1, 1)} | {B}, {link(store, 1, 3)}"
    assert found[1][2] == A, "a failed image keeps its old link"
    assert found[2][2] == f'["{link(store, 3, 1)}", "{link(store, 3, 2)}"]'
    assert found[0][3] == f"{link(store, 1, 1)},,{link(store, 1, 3)}"


def test_an_output_goes_through_again_without_a_second_column() -> None:
    store, plan = planned(f"Product,S.No,Image URLs,Price\na,1,{A},2\n")
    output(store, plan)
    again, plan = planned(store.get(keys.output("r1")))
    assert output(again, plan)[0] == ["Product", "S.No", "Image URLs", "Price", "Output Image Urls"]


def test_a_row_with_too_many_fields_is_refused_for_links_may_be_anywhere() -> None:
    with pytest.raises(InputRefusedError) as caught:
        planned(f"Price,Product,S.No,Image URLs\n1,a,1,{A},{B}\n")
    assert [(one.code, one.line) for one in caught.value.problems] == [("too_many_fields", 2)]


def test_only_a_plan_with_other_columns_has_a_new_version() -> None:
    """So that programs of the version before still run what they can."""
    _, own = planned(f"{','.join(rows.COLUMNS)}\n1,a,{A}\n")
    _, other = planned(f"S.No,Product,Image URLs\n1,a,{A}\n")
    assert f'"version":{VERSION},'.encode() in own.to_json()
    assert f'"version":{LAYOUT_VERSION},'.encode() in other.to_json()
    assert [Plan.from_json(plan.to_json()) for plan in (own, other)] == [own, other]


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
TABLES = st.integers(0, 3).flatmap(
    lambda extra: st.lists(st.lists(CELLS, min_size=extra, max_size=extra).map(tuple), min_size=1, max_size=8)
)


@given(
    TABLES,
    st.sampled_from(rows.DELIMITERS),
    st.sampled_from(["\n", "\r\n"]),
    st.lists(st.integers(0, 40), max_size=6),
)
def test_every_cell_of_every_other_column_comes_back(
    table_: list[tuple[str, ...]], delimiter: str, line_end: str, sizes: list[int]
) -> None:
    headers = [f"c{number}" for number in range(len(table_[0]))] + ["link"]
    records = [[*cells, LINK] for cells in table_]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([headers, *records])
    store = MemoryStore()
    chunks = chopped(text.getvalue().encode(), sizes)
    plan = ingest(store, "r1", chunks, columns=declared("links=link"), rows_per_shard=3).plan
    assert output(store, plan) == [
        [*headers, rows.OUTPUT_COLUMN],
        *([*cells, link(store, row, 1)] for row, cells in enumerate(records, 1)),
    ]


def test_a_dry_reading_says_the_columns_it_found() -> None:
    reader = Reader([f"S.No,Product,Image URLs\n1,a,{A}\n".encode()])
    for _ in reader.canonical():
        pass
    assert reader.layout.header == ("S.No", "Product", "Image URLs")
