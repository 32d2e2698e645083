"""`webhooks`: what was sent, and whether it arrives and is ours."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from imagebatch_cli.exit_codes import COMPLETE, FAILED
from imagebatch_cli.options import CSV_FILE, json_option, server_options
from imagebatch_cli.running import run
from imagebatch_cli.screen import aligned, say, show_json
from imagebatch_cli.server import Server, chosen, local_settings
from imagebatch_client import Delivery, SignatureError, WebhookTest, verify

HEAD = ("WEBHOOK", "ATTEMPT", "STATE", "TRIES", "URL", "NOTE")


@click.group()
def webhooks() -> None:
    """Webhooks: what was sent, whether it arrives, and whether it is ours."""


@webhooks.command("list")
@click.argument("request_id", metavar="ID")
@json_option
@server_options
def list_(request_id: str, as_json: bool, server: str | None, token: str | None) -> int:
    """List the webhooks of a batch, newest first."""
    return run(_list(chosen(server, token), request_id, as_json=as_json))


async def _list(server: Server, request_id: str, *, as_json: bool) -> int:
    async with server.client() as client:
        show_deliveries(await client.deliveries(request_id), as_json=as_json)
    return COMPLETE


def show_deliveries(deliveries: Sequence[Delivery], *, as_json: bool) -> None:
    """A line a webhook, under a head; or the document."""
    if as_json:
        show_json({"deliveries": [delivery.document for delivery in deliveries]})
    else:
        _show(deliveries)


def show_delivery(delivery: Delivery, *, as_json: bool) -> None:
    if as_json:
        show_json(delivery.document)
    else:
        _show([delivery])


def _show(deliveries: Sequence[Delivery]) -> None:
    for line in aligned([HEAD, *map(_cells, deliveries)]):
        click.echo(line)


def _cells(delivery: Delivery) -> tuple[str, ...]:
    return (
        delivery.webhook_id,
        str(delivery.attempt),
        delivery.state,
        str(delivery.tries),
        delivery.url,
        "; ".join(_notes(delivery)),
    )


def _notes(delivery: Delivery) -> Iterator[str]:
    if delivery.last_error and delivery.state != "delivered":
        yield delivery.last_error
    if delivery.next_try_at is not None:
        seconds = max(0, round((delivery.next_try_at - datetime.now(UTC)).total_seconds()))
        yield f"next try in {seconds} s"


@webhooks.command()
@click.argument("request_id", metavar="ID")
@json_option
@server_options
def redeliver(request_id: str, as_json: bool, server: str | None, token: str | None) -> int:
    """Send the webhook of a batch again now, under the same id."""
    return run(_redeliver(chosen(server, token), request_id, as_json=as_json))


async def _redeliver(server: Server, request_id: str, *, as_json: bool) -> int:
    async with server.client() as client:
        show_delivery(await client.redeliver(request_id), as_json=as_json)
    return COMPLETE


@webhooks.command()
@click.argument("url")
@json_option
@server_options
def test(url: str, as_json: bool, server: str | None, token: str | None) -> int:
    """Send a signed test event to a URL, and say whether it was taken."""
    return run(_test(chosen(server, token), url, as_json=as_json))


async def _test(server: Server, url: str, *, as_json: bool) -> int:
    async with server.client() as client:
        return show_test(await client.test_webhook(url), as_json=as_json)


def show_test(found: WebhookTest, *, as_json: bool) -> int:
    """What became of a test; the exit code."""
    if as_json:
        show_json(found.document)
    elif found.delivered:
        click.echo(f"{found.webhook_id}  delivered")
    else:
        click.echo(f"{found.webhook_id}  failed: {found.error}")
    return COMPLETE if found.delivered else FAILED


@webhooks.command("verify")
@click.argument("body", type=CSV_FILE, metavar="BODY")
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="NAME:VALUE",
    help="A header of the request: webhook-id, webhook-timestamp and webhook-signature are needed.",
)
@click.option(
    "--secret", metavar="SECRET", help="The secret [IMAGEBATCH_WEBHOOK_SECRET, which `ps` does not show]."
)
@click.option("--any-age", is_flag=True, help="Take one that was sent more than five minutes ago too.")
@json_option
def verify_(body: Path, headers: tuple[str, ...], secret: str | None, any_age: bool, as_json: bool) -> int:
    """Say whether the file BODY, as it was received, is signed with the secret."""
    keys = local_settings().webhook_secret.get_secret_value() if secret is None else secret
    given = dict(map(_header, headers))
    error = ""
    try:
        verify(keys, given, body.read_bytes(), **({"tolerance_s": None} if any_age else {}))
    except SignatureError as wrong:
        error = str(wrong)
    if as_json:
        show_json({"verified": not error, "error": error or None})
    elif error:
        say(f"Not verified: {error}")
    else:
        click.echo("Verified: it was signed with this secret.")
    return FAILED if error else COMPLETE


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise click.BadParameter(f"{text!r} is not NAME:VALUE", param_hint="--header")
    return name.strip(), value.strip()
