"""docs/api.md says everything: each path, field, metric and problem code."""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import imagebatch.csv
import imagebatch_api
from imagebatch import options, webhook
from imagebatch_api import fields, metrics, openapi
from imagebatch_api.settings import ApiSettings

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def modules_of(package: ModuleType) -> list[ModuleType]:
    """A package's modules; `__main__` runs when it is imported."""
    names = (found.name for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."))
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


MODULES = [*modules_of(imagebatch.csv), options, webhook, *modules_of(imagebatch_api)]
MAKERS = {"Problem", "of", "RefusedError", "unavailable", "_problem"}
CODE = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+|conflict")


def codes(module: ModuleType) -> Iterator[str]:
    """The codes in the calls that make problems."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in MAKERS:
            texts = (
                inner.value
                for argument in node.args
                for inner in ast.walk(argument)
                if isinstance(inner, ast.Constant)
            )
            yield from (text for text in texts if isinstance(text, str) and CODE.fullmatch(text))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_problem_code_is_documented(module: ModuleType) -> None:
    documented = set(re.findall(r"^\|[^`]*`(\w+)` \|", PAGE, re.MULTILINE))
    assert {code for code in codes(module) if code not in documented} == set()


def test_codes_are_found() -> None:
    expected = {"too_many_fields", "wrong_header", "too_large", "not_accepted", "upload_stalled"}
    assert expected <= {code for module in MODULES for code in codes(module)}


def test_every_path_is_documented() -> None:
    assert [path for path in openapi.document(ApiSettings())["paths"] if path not in PAGE] == []


def test_every_field_is_documented() -> None:
    assert [name for name in fields.NAMES if f"`{name}`" not in PAGE] == []


def test_every_metric_is_documented() -> None:
    names = re.findall(r"^# TYPE (\w+?)(?:_created)? ", metrics.Metrics().text().decode(), re.MULTILINE)
    assert [name for name in names if name not in PAGE] == []


def test_every_documented_status_is_described() -> None:
    statuses = {int(status) for status in re.findall(r"^\| (\d{3}) \|", PAGE, re.MULTILINE)}
    assert statuses == set(openapi.PROBLEMS)


def test_the_retry_schedule_is_the_real_one() -> None:
    units = {"s": 1, "min": 60, "h": 3600}
    (sentence,) = re.findall(r"repeated after (.*?), each", PAGE, re.DOTALL)
    told = [int(number) * units[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", sentence)]
    assert tuple(told) == webhook.RETRY_SECONDS
