"""What the form of the page offers, in words, and what its preview knows of columns."""

from imagebatch.csv.columns import PRESETS, ROLES
from imagebatch.csv.encodings import ENCODINGS
from imagebatch.csv.header import SYNONYMS

_LANGUAGES = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16 (Excel's Unicode text)",
    "windows-1252": "Windows-1252 (Western Europe, Excel's plain CSV)",
    "windows-1250": "Windows-1250 (Central Europe)",
    "windows-1251": "Windows-1251 (Cyrillic)",
    "windows-1253": "Windows-1253 (Greek)",
    "windows-1254": "Windows-1254 (Turkish)",
    "iso-8859-1": "ISO-8859-1 (Latin 1)",
    "iso-8859-15": "ISO-8859-15 (Latin 9)",
    "macintosh": "Macintosh (Excel for Mac)",
    "shift_jis": "Shift JIS (Japanese)",
    "gb18030": "GB 18030 (Chinese, simplified)",
    "big5": "Big5 (Chinese, traditional)",
    "euc-kr": "EUC-KR (Korean)",
}
_SHOPS = {
    "shopify": "Shopify",
    "woocommerce": "WooCommerce",
    "magento": "Magento",
    "prestashop": "PrestaShop",
}

ENCODING_CHOICES = {name: _LANGUAGES.get(name, name) for name in ENCODINGS}
PRESET_CHOICES = {name: f"{_SHOPS.get(name, name)}'s export" for name in PRESETS}

KNOWN_COLUMNS = {
    "synonyms": {role: sorted(known) for role, known in zip(ROLES, SYNONYMS, strict=True)},
    "presets": {
        name: [{"serial": one.serial, "name": one.name, "links": one.links} for one in some]
        for name, some in PRESETS.items()
    },
}
"""What the preview takes for which column, in the words of `imagebatch.csv`: see `static/columns.js`."""
