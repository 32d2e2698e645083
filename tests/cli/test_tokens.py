"""Tokens on the command line: made once, sent to their server only, and never shown."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner

from imagebatch.batch.control import RecordedControl
from imagebatch.batch.intake import RecordedIntake
from imagebatch.net.guard import AddressPolicy
from imagebatch.records import Records
from imagebatch_api import server, tokens
from imagebatch_api.app import Services, create_app
from imagebatch_api.settings import ApiSettings
from imagebatch_cli.main import cli
from imagebatch_client import (
    AsyncClient,
    NoAnswerError,
    NotFoundError,
    TokenError,
    UnauthorizedError,
    UnexpectedAnswerError,
)
from imagebatch_testing.memory_store import MemoryStore
from imagebatch_testing.receiver import Receiver

TOKEN = tokens.make()


def test_a_token_is_printed_once_with_the_line_for_the_server() -> None:
    ended = CliRunner().invoke(cli, ["token", "shop"])
    assert ended.exit_code == 0
    token, line = ended.stdout.splitlines()
    assert tokens.owner_of(tokens.parse(line), token) == "shop"
    assert token not in line
    assert token not in ended.stderr


def test_a_name_that_is_none_is_the_users_mistake() -> None:
    ended = CliRunner().invoke(cli, ["token", "the shop"])
    assert ended.exit_code == 2
    assert "can't be a token's name" in ended.stderr


@pytest.mark.parametrize("token", ["a b", "a\nb", "tökén"])
def test_a_token_that_can_be_none_is_told_without_showing_it(token: str) -> None:
    with pytest.raises(TokenError, match="copy it again") as caught:
        AsyncClient("http://127.0.0.1:1", token)
    assert token not in str(caught.value)


@pytest.mark.anyio
async def test_a_token_is_sent_to_its_server_and_to_nobody_else(receiver: Receiver, tmp_path: Path) -> None:
    async with Receiver() as elsewhere, AsyncClient(receiver.url(""), f" {TOKEN}\n") as client:
        with pytest.raises(UnexpectedAnswerError):
            await client.get("x")  # a receiver has no JSON to answer with
        await client.download(receiver.url("/batches/x/errors.csv"), tmp_path / "errors")
        await client.download(elsewhere.url("/csvfile/x_output.csv"), tmp_path / "output")
    sent = [request.headers.get("authorization") for request in receiver.requests]
    assert sent == [f"Bearer {TOKEN}"] * 2
    assert "authorization" not in elsewhere.requests[0].headers


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """An API that knows `TOKEN`, and has no database."""
    (tmp_path / "tokens").write_text(str(tokens.entry_of("shop", TOKEN)))
    dead = Records(asyncpg.create_pool("postgresql://nobody@127.0.0.1:1/none"))
    intake = RecordedIntake(dead, lambda _: None)
    control = RecordedControl(dead, lambda _: None, lambda: None)
    services = Services(MemoryStore(), dead, intake, control, AddressPolicy())
    app = create_app(services, ApiSettings(api_tokens_file=tmp_path / "tokens"))
    listening = server.bind("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve_on(app, listening))
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    serving.cancel()
    await asyncio.wait([serving])


@pytest.mark.anyio
@pytest.mark.parametrize(("token", "why"), [("", "asks for a token"), ("ib_wrong", "no longer")])
async def test_a_missing_or_unknown_token_is_told_with_what_to_do(url: str, token: str, why: str) -> None:
    async with AsyncClient(url, token) as client:
        with pytest.raises(UnauthorizedError, match=why):
            await client.get("x")


@pytest.mark.anyio
async def test_a_right_token_lets_in(url: str) -> None:
    async with AsyncClient(url, TOKEN) as client:
        with pytest.raises(NotFoundError, match="no request with this id"):
            await client.get("not an id")


@pytest.mark.parametrize("command", [["status", "x"], ["submit", __file__]])
def test_the_commands_take_a_token(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEBATCH_TOKEN", "a b")
    ended = CliRunner().invoke(cli, command)
    assert isinstance(ended.exception, TokenError)
    ended = CliRunner().invoke(cli, [*command, "--token", TOKEN, "--server", "http://127.0.0.1:1"])
    assert isinstance(ended.exception, NoAnswerError)
