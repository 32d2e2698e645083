"""The formats of the table, as their files describe them. Used by `recognise` and `choice`."""

from importlib import import_module

from imagebatch_jobrunner.decoder.formats.format import Format
from imagebatch_jobrunner.formats import FORMATS


def _load(name: str) -> Format:
    found = import_module(f"{__package__}.{name}").FORMAT
    assert isinstance(found, Format)
    assert found.name == name
    return found


ALL = tuple(_load(one.name) for one in FORMATS)
BY_NAME = {one.name: one for one in ALL}
