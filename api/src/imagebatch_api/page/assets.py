"""The page's own style, scripts and icon: read once, and served under a name that changes when they do."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

FOLDER = "static"
MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}


@dataclass(frozen=True, slots=True)
class Assets:
    """The files by name. All share one digest in their path, so that scripts find each other beside them."""

    files: Mapping[str, bytes]
    digest: str

    @classmethod
    def load(cls) -> "Assets":
        found = {each.name: each.read_bytes() for each in files(__package__).joinpath(FOLDER).iterdir()}
        total = hashlib.sha256()
        for name in sorted(found):
            total.update(f"{name}:{len(found[name])}:".encode() + found[name])
        return cls(found, total.hexdigest()[:16])

    def path(self, name: str) -> str:
        """Where a file is."""
        assert name in self.files, name
        return f"/page/static/{self.digest}/{name}"

    async def serve(self, request: Request) -> Response:
        """A file; one of another release is not here, for the page that names it is gone as well."""
        name, digest = request.path_params["name"], request.path_params["digest"]
        if digest != self.digest or name not in self.files:
            raise HTTPException(404)
        media_type = MEDIA_TYPES[name.rpartition(".")[2]]
        return Response(self.files[name], headers=FOR_EVER, media_type=media_type)
