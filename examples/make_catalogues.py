"""Write the example shop's products as four shops' systems export them.

    python make_catalogues.py [--base-url http://127.0.0.1:8091] [--out DIR]

Each file has 200 products with the columns and the habits of its system, after its public documentation:
Shopify's rows for variants and further images, WooCommerce's commas within a cell, Magento's two columns of
images, PrestaShop's semicolons. The pictures are those of make_examples.py.
"""

import argparse
import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from make_examples import CATALOGUE, Picture, address

PRODUCTS = 200
COLOURS = ("Red", "Navy", "Teal", "Plum", "Mustard", "Slate", "Cream", "Black")
MATERIALS = ("Cotton", "Oak", "Linen", "Steel", "Wool", "Ceramic", "Leather", "Glass", "Cork")
THINGS = (
    "Shirt",
    "Chair",
    "Mug",
    "Lamp",
    "Vase",
    "Cushion",
    "Notebook",
    "Backpack",
    "Clock",
    "Scarf",
    "Bowl",
)


@dataclass(frozen=True)
class Item:
    """A product that is sold in so many sizes; its description is HTML as editors leave it."""

    number: int
    name: str
    description: str
    price: str
    sizes: tuple[str, ...]
    images: tuple[str, ...]

    @property
    def slug(self) -> str:
        return "-".join(re.findall(r"[a-z0-9]+", self.name.lower()))

    @property
    def sku(self) -> str:
        return f"{self.name.split()[1][:2].upper()}-{self.number:04}"


def items(base_url: str) -> Iterator[Item]:
    """The products; one in forty has no picture, one in fifty a link that is dead."""
    pictures = [link for product in CATALOGUE for link in product.links if isinstance(link, Picture)]
    links = [address(picture, base_url) for picture in pictures]
    for number in range(1, PRODUCTS + 1):
        thing = THINGS[number % len(THINGS)]
        material, colour = MATERIALS[number % len(MATERIALS)], COLOURS[number % len(COLOURS)]
        count = 0 if number % 40 == 0 else 1 + number % 4
        images = tuple(links[(3 * number + step) % len(links)] for step in range(count))
        if number % 50 == 7:
            images = (*images[:-1], f"{base_url}/gone/{number}.jpg")
        yield Item(
            number=number,
            name=f"{material} {thing} No. {number}, {colour.lower()}",
            description=f'<p class="lead">{material} {thing.lower()}, 24" wide; made in small numbers.</p>\n'
            f"<ul>\n<li>Colour: {colour}</li>\n<li>Größe, care &amp; more: see label</li>\n</ul>",
            price=f"{4 + number % 90}.{number % 10}0",
            sizes=("S", "M", "L")[: 1 + number % 3] if thing in {"Shirt", "Scarf"} else (),
            images=images,
        )


SHOPIFY = (
    "Handle",
    "Title",
    "Body (HTML)",
    "Vendor",
    "Product Category",
    "Type",
    "Tags",
    "Published",
    "Option1 Name",
    "Option1 Value",
    "Variant SKU",
    "Variant Grams",
    "Variant Inventory Tracker",
    "Variant Inventory Qty",
    "Variant Inventory Policy",
    "Variant Fulfillment Service",
    "Variant Price",
    "Variant Compare At Price",
    "Variant Requires Shipping",
    "Variant Taxable",
    "Variant Barcode",
    "Image Src",
    "Image Position",
    "Image Alt Text",
    "Gift Card",
    "SEO Title",
    "SEO Description",
    "Variant Image",
    "Variant Weight Unit",
    "Cost per item",
    "Status",
)


def shopify(products: Iterable[Item]) -> Iterator[Mapping[str, str]]:
    """A row a variant or image, whichever are more; only a product's first row describes it."""
    for item in products:
        for at in range(max(1, len(item.sizes), len(item.images))):
            row = {"Handle": item.slug}
            if at == 0:
                row |= {
                    "Title": item.name,
                    "Body (HTML)": item.description,
                    "Vendor": "Riverside & Sons",
                    "Type": item.name.split()[1],
                    "Tags": "home, sale, new",
                    "Published": "TRUE",
                    "Gift Card": "FALSE",
                    "SEO Title": item.name,
                    "Status": "active",
                }
            if at < max(1, len(item.sizes)):
                row |= {
                    "Option1 Name": "Size" if item.sizes and at == 0 else "" if item.sizes else "Title",
                    "Option1 Value": item.sizes[at] if item.sizes else "Default Title",
                    "Variant SKU": f"{item.sku}-{at}",
                    "Variant Grams": "250",
                    "Variant Price": item.price,
                    "Variant Inventory Policy": "deny",
                    "Variant Fulfillment Service": "manual",
                    "Variant Requires Shipping": "TRUE",
                    "Variant Taxable": "TRUE",
                    "Variant Weight Unit": "g",
                    "Variant Barcode": f"'40{item.number:011}",
                }
            if at < len(item.images):
                row |= {
                    "Image Src": f"{item.images[at]}?v=17{item.number:08}",
                    "Image Position": str(at + 1),
                    "Image Alt Text": f"{item.name}, picture {at + 1}",
                }
            yield row


WOOCOMMERCE = (
    "ID",
    "Type",
    "SKU",
    "Name",
    "Published",
    "Is featured?",
    "Visibility in catalog",
    "Short description",
    "Description",
    "Date sale price starts",
    "Date sale price ends",
    "Tax status",
    "Tax class",
    "In stock?",
    "Stock",
    "Backorders allowed?",
    "Sold individually?",
    "Weight (kg)",
    "Allow customer reviews?",
    "Sale price",
    "Regular price",
    "Categories",
    "Tags",
    "Images",
    "Parent",
    "Upsells",
    "Position",
    "Attribute 1 name",
    "Attribute 1 value(s)",
    "Attribute 1 visible",
    "Attribute 1 global",
)


def woocommerce(products: Iterable[Item]) -> Iterator[Mapping[str, str]]:
    """A row a product, and one a variation of it, whose parent is named; line breaks are written as \\n."""
    for item in products:
        row = {
            "ID": str(1000 + 10 * item.number),
            "Type": "variable" if item.sizes else "simple",
            "SKU": item.sku,
            "Name": item.name,
            "Published": "1",
            "Is featured?": "0",
            "Visibility in catalog": "visible",
            "Description": item.description.replace("\n", "\\n"),
            "Tax status": "taxable",
            "In stock?": "1",
            "Backorders allowed?": "0",
            "Allow customer reviews?": "1",
            "Categories": "Home > Living, Sale",
            "Regular price": "" if item.sizes else item.price,
            "Images": ", ".join(item.images),
            "Position": "0",
        }
        if item.sizes:
            row |= {"Attribute 1 name": "Size", "Attribute 1 value(s)": ", ".join(item.sizes)}
        yield row
        for at, size in enumerate(item.sizes, 1):
            yield {
                "ID": str(1000 + 10 * item.number + at),
                "Type": "variation",
                "SKU": f"{item.sku}-{size}",
                "Name": f"{item.name} - {size}",
                "Published": "1",
                "Parent": item.sku,
                "Position": str(at),
                "Regular price": item.price,
                "Attribute 1 name": "Size",
                "Attribute 1 value(s)": size,
                "Images": item.images[0] if item.images else "",
            }


MAGENTO = (
    "sku",
    "store_view_code",
    "attribute_set_code",
    "product_type",
    "categories",
    "product_websites",
    "name",
    "description",
    "short_description",
    "weight",
    "product_online",
    "tax_class_name",
    "visibility",
    "price",
    "url_key",
    "meta_title",
    "base_image",
    "base_image_label",
    "small_image",
    "small_image_label",
    "thumbnail_image",
    "thumbnail_image_label",
    "created_at",
    "updated_at",
    "additional_attributes",
    "qty",
    "is_in_stock",
    "additional_images",
    "additional_image_labels",
)


def magento(products: Iterable[Item]) -> Iterator[Mapping[str, str]]:
    """A row a product; the first image has three columns, the others share one, as their labels do."""
    for item in products:
        first, *others = item.images or ("",)
        yield {
            "sku": item.sku,
            "attribute_set_code": "Default",
            "product_type": "simple",
            "name": item.name,
            "categories": "Default Category/Home,Default Category/Home/Living",
            "product_websites": "base",
            "description": item.description,
            "weight": "0.2500",
            "product_online": "1",
            "tax_class_name": "Taxable Goods",
            "visibility": "Catalog, Search",
            "price": f"{item.price}00",
            "url_key": item.slug,
            "base_image": first,
            "small_image": first,
            "thumbnail_image": first,
            "created_at": "3/14/26, 9:26 AM",
            "updated_at": "3/14/26, 9:26 AM",
            "qty": "10.0000",
            "additional_attributes": f"color={COLOURS[item.number % 8]},material=mixed",
            "is_in_stock": "1",
            "additional_images": ",".join(others),
            "additional_image_labels": ",".join("Detail" for _ in others),
        }


PRESTASHOP = (
    "Product ID",
    "Active (0/1)",
    "Name *",
    "Categories (x,y,z...)",
    "Price tax excluded",
    "Tax rules ID",
    "Wholesale price",
    "On sale (0/1)",
    "Reference #",
    "Supplier",
    "Manufacturer",
    "EAN13",
    "Weight",
    "Quantity",
    "Short description",
    "Description",
    "Tags (x,y,z...)",
    "Meta title",
    "URL rewritten",
    "Available for order (0 = No, 1 = Yes)",
    "Image URLs (x,y,z...)",
    "Image alt texts (x,y,z...)",
    "Delete existing images (0 = No, 1 = Yes)",
    "Feature(Name:Value:Position)",
    "Condition",
)


def prestashop(products: Iterable[Item]) -> Iterator[Mapping[str, str]]:
    """A row a product; whatever has several values has commas between them."""
    for item in products:
        yield {
            "Product ID": str(item.number),
            "Active (0/1)": "1",
            "Name *": item.name,
            "Categories (x,y,z...)": "Home,Living",
            "Price tax excluded": item.price,
            "Tax rules ID": "1",
            "On sale (0/1)": "0",
            "Reference #": item.sku,
            "EAN13": f"40{item.number:011}",
            "Weight": "0.25",
            "Quantity": "10",
            "Description": item.description,
            "Tags (x,y,z...)": "new,sale",
            "URL rewritten": item.slug,
            "Available for order (0 = No, 1 = Yes)": "1",
            "Image URLs (x,y,z...)": ",".join(item.images),
            "Image alt texts (x,y,z...)": ",".join(f"View {at}" for at, _ in enumerate(item.images, 1)),
            "Delete existing images (0 = No, 1 = Yes)": "1",
            "Feature(Name:Value:Position)": "Colour:Any:1",
            "Condition": "new",
        }


def write(
    file: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]], *, delimiter: str, encoding: str
) -> None:
    with file.open("w", encoding=encoding, newline="") as out:
        written = csv.DictWriter(out, columns, restval="", delimiter=delimiter, lineterminator="\n")
        written.writeheader()
        written.writerows(rows)


def main() -> None:
    """Write the four files."""
    parser = argparse.ArgumentParser(description="Write the example shop's catalogues.")
    parser.add_argument("--base-url", default="http://127.0.0.1:8091", help="where its pictures are served")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parent / "catalogues", metavar="DIR"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    products = list(items(options.base_url))
    write(options.out / "shopify.csv", SHOPIFY, shopify(products), delimiter=",", encoding="utf-8")
    write(
        options.out / "woocommerce.csv",
        WOOCOMMERCE,
        woocommerce(products),
        delimiter=",",
        encoding="utf-8-sig",
    )
    write(options.out / "magento.csv", MAGENTO, magento(products), delimiter=",", encoding="utf-8")
    write(options.out / "prestashop.csv", PRESTASHOP, prestashop(products), delimiter=";", encoding="utf-8")


if __name__ == "__main__":
    main()
