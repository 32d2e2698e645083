"""`images`: what became of each image of a batch that has ended."""

import click

from imagebatch_cli.exit_codes import COMPLETE
from imagebatch_cli.images import PageQuery, page_options, show_page
from imagebatch_cli.options import json_option, server_options
from imagebatch_cli.running import run
from imagebatch_cli.server import Server, chosen


@click.command()
@click.argument("request_id", metavar="ID")
@page_options
@json_option
@server_options
def images(  # noqa: PLR0917 - click passes them by name
    request_id: str,
    outcome: str | None,
    limit: int,
    after: str | None,
    as_json: bool,
    server: str | None,
    token: str | None,
) -> int:
    """Show what became of each image of a batch that has ended, a page at a time."""
    asked = PageQuery(limit, after, outcome)
    return run(_images(chosen(server, token), request_id, asked, as_json=as_json))


async def _images(server: Server, request_id: str, asked: PageQuery, *, as_json: bool) -> int:
    async with server.client() as client:
        page = await client.image_page(
            request_id, limit=asked.limit, after=asked.after, outcome=asked.outcome
        )
    show_page(page, asked, f"imagebatch images {request_id}", as_json=as_json)
    return COMPLETE
