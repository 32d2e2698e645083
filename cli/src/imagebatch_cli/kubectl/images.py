"""`kubectl imagebatch images`: what became of each image, by the report that the operator links."""

import asyncio

import click

from imagebatch.csv import report_page
from imagebatch.custom_resource import ImageBatch
from imagebatch.errors import NotFoundError
from imagebatch.storage import keys
from imagebatch_cli.commands.results import check_end
from imagebatch_cli.exit_codes import COMPLETE
from imagebatch_cli.images import PageQuery, page_options, show_page
from imagebatch_cli.kubectl.asking import timeout_option
from imagebatch_cli.kubectl.cluster import Cluster
from imagebatch_cli.kubectl.documents import batch_of
from imagebatch_cli.kubectl.links import Links, linked, private_links
from imagebatch_cli.kubectl.words import cluster_options, name_argument, on_cluster, where
from imagebatch_cli.options import json_option
from imagebatch_cli.results import NoResultError
from imagebatch_client import Image, Page


@click.command()
@name_argument
@page_options
@timeout_option
@json_option
@cluster_options
def images(  # noqa: PLR0917 - click passes them by name
    name: str,
    outcome: str | None,
    limit: int,
    after: str | None,
    timeout_s: float,
    as_json: bool,
    context: str | None,
    namespace: str | None,
) -> int:
    """Show what became of each image of a batch that has ended, a page at a time."""
    asked = PageQuery(limit, after, outcome)

    async def work(cluster: Cluster) -> int:
        body = await cluster.get(name)
        check_end(batch_of(body), "kubectl imagebatch")
        links = await private_links(cluster, name, timeout_s)
        request_id = ImageBatch(body).request_id
        page = await asyncio.to_thread(_page, links.report, request_id, asked)
        show_page(page, asked, f"kubectl imagebatch images {name}{where(namespace)}", as_json=as_json)
        return COMPLETE

    return on_cluster(context, namespace, work)


def _page(links: Links, request_id: str, asked: PageQuery) -> Page[Image]:
    """The page as the API gives it; its cursors are the API's, too. Blocks. Raises NoResultError."""
    if not links:
        raise NoResultError("this batch has no report")
    try:
        with linked(links) as report:
            key = keys.image_report(request_id)
            found = report_page.read(report, key, asked.after, asked.limit, asked.outcome)
    except NotFoundError as error:
        raise NoResultError(str(error)) from error
    return Page.read({"images": found.images, "next_after": found.next_after}, "images", Image.read)
