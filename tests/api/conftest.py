"""The app over a store in memory; every answer that a test gets is held against the OpenAPI description."""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from imagebatch.batch.control import RecordedControl
from imagebatch.errors import ImageBatchError, RecordsError
from imagebatch.net.guard import AddressPolicy
from imagebatch.records import NewRequest, Records, Request
from imagebatch_api import openapi
from imagebatch_api.app import Services, create_app
from imagebatch_api.middleware import PAGE
from imagebatch_api.settings import ApiSettings
from imagebatch_testing.memory_store import MemoryStore

BASE_URL = "http://127.0.0.1:8080"

MakeApp = Callable[..., Starlette]
Connect = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@dataclass
class MemoryIntake:
    """Takes batches into a list; the first calls raise what is in `failures`."""

    taken: list[NewRequest] = field(default_factory=list)
    failures: list[ImageBatchError] = field(default_factory=list)

    async def submit(self, request: NewRequest) -> bool:
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(request)
        return True

    async def find(self, request_id: str) -> Request | None:  # noqa: ARG002
        return None

    def fail(self, times: int) -> None:
        self.failures = [RecordsError("Postgres: down") for _ in range(times)]


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake()


@pytest.fixture
def make_app(store: MemoryStore, intake: MemoryIntake) -> MakeApp:
    """Makes apps; without records of its own an app's database does not answer. Call it on an event loop."""

    def make(**given: Any) -> Starlette:
        dead = Records(asyncpg.create_pool("postgresql://nobody@127.0.0.1:1/none"))
        connected = given.pop("records", dead)
        services = Services(
            given.pop("store", store),
            connected,
            given.pop("intake", intake),
            given.pop("control", None) or RecordedControl(connected, lambda _: None, lambda: None),
            given.pop("policy", AddressPolicy()),
            given.pop("ready", None),
        )
        return create_app(services, ApiSettings(**given))

    return make


@pytest.fixture
def connect() -> Connect:
    @asynccontextmanager
    async def connecting(app: Starlette, base_url: str = BASE_URL) -> AsyncIterator[httpx.AsyncClient]:
        hooks = {"response": [check_answer]}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=base_url, event_hooks=hooks) as client:
            yield client

    return connecting


@pytest.fixture
async def client(make_app: MakeApp, connect: Connect) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(make_app()) as connected:
        yield connected


# -- the OpenAPI description as a judge ------------------------------------------------------------------

DOCUMENT = openapi.document(ApiSettings())


async def check_answer(response: httpx.Response) -> None:
    """Fail unless the description knows this answer: path, method, status, media type and schema."""
    if response.request.url.path.startswith(PAGE):
        return  # for people
    operation = _operation(response.request)
    if operation is None:
        assert response.status_code in {401, 403, 404, 405, 431, 500}
        return
    described = _resolved(operation["responses"][str(response.status_code)])
    if "content" not in described:
        assert (await response.aread(), response.headers.get("content-type")) == (b"", None)
        return
    media_type = response.headers["content-type"]
    name = media_type.partition(";")[0]
    content = {key.partition(";")[0]: value for key, value in described["content"].items()}
    assert name in content, f"{media_type} is not described"
    headers = described.get("headers", {})
    assert all(name in response.headers for name, header in headers.items() if header["required"])
    if name.endswith("json"):
        await response.aread()
        problems = list(violations(response.json(), content[name]["schema"], "answer"))
        assert not problems, problems


def _operation(request: httpx.Request) -> Mapping[str, Any] | None:
    for template, methods in DOCUMENT["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, request.url.path):
            found: Mapping[str, Any] | None = methods.get(request.method.lower())
            return found
    return None


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = schema
    if "$ref" in schema:
        found = DOCUMENT
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
    return found  # type: ignore[no-any-return]


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def violations(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    """Where a document breaks its schema, for the few keywords that the description uses."""
    schema = _resolved(schema)
    types = schema.get("type", [])
    allowed = [kind for name in ([types] if isinstance(types, str) else types) for kind in _TYPES[name]]
    if allowed and not isinstance(value, tuple(allowed)):
        yield f"{where}: {value!r} is not {types}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not one of {schema['enum']}"
    if isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get(
        "maximum", value
    ):
        yield f"{where}: {value!r} is out of bounds"
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{where}: {len(value)} items"
        for item in value:
            yield from violations(item, schema["items"], f"{where}[]")
    if isinstance(value, dict):
        yield from _violations_of_object(value, schema, where)


def _violations_of_object(value: dict[str, Any], schema: Mapping[str, Any], where: str) -> Iterator[str]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    yield from (f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value)
    for name, item in value.items():
        if name in properties:
            yield from violations(item, properties[name], f"{where}.{name}")
        elif isinstance(others, dict):
            yield from violations(item, others, f"{where}.{name}")
        elif not others:
            yield f"{where}: {name} is not described"
