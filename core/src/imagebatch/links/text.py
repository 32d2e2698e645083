"""Text as people see it: without blanks and invisible characters at its ends."""

import unicodedata


def trimmed(text: str) -> str:
    """A text without blanks and invisible characters (Unicode's Cf, Z and Cc) at its ends."""
    start, end = 0, len(text)
    while start < end and _is_nothing(text[start]):
        start += 1
    while start < end and _is_nothing(text[end - 1]):
        end -= 1
    return text[start:end]


def visible(text: str) -> str:
    """A text without invisible characters, wherever they are."""
    return text if text.isascii() else "".join(one for one in text if unicodedata.category(one) != "Cf")


def _is_nothing(character: str) -> bool:
    if "!" <= character <= "~":
        return False
    return character.isspace() or unicodedata.category(character) in {"Cf", "Zs", "Zl", "Zp", "Cc"}
