"""Serves the example images of a checkout, as a shop's web server would."""

from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from imagebatch_cli.data_folder import LOOPBACK

GREETING = "The example images of ImageBatch."


def find_images() -> Path | None:
    """The folder examples/images of the checkout this package runs from; None when installed elsewhere."""
    for folder in Path(__file__).resolve().parents:
        images = folder / "examples" / "images"
        if images.is_dir():
            return images
    return None


def app(images: Path) -> Starlette:
    return Starlette(routes=[Route("/", _greet), Mount("/", StaticFiles(directory=images))])


def _greet(_: Request) -> Response:
    return PlainTextResponse(GREETING)


async def are_served(port: int) -> bool:
    """Whether another local system serves the examples on this port already."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            return (await client.get(f"http://{LOOPBACK}:{port}/")).text == GREETING
    except httpx.HTTPError:
        return False
