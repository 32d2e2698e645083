"""The local system as its users run it: `imagebatch` processes, and a shop that serves images."""

import asyncio
import io
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
from PIL import Image
from pydantic import SecretStr

from imagebatch.csv import rows
from imagebatch.settings import S3Settings
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch_cli.data_folder import DataFolder, free_ports
from imagebatch_cli.seaweed import BUCKET
from imagebatch_testing.waiting import until

DEADLINE_S = 120.0
POLL_S = 0.05


def picture(seed: int, side: int = 240) -> bytes:
    """A JPEG of quality 90, different for each seed, that compresses as a photo does."""
    ramp = Image.linear_gradient("L").resize((side, side))
    noise = Image.effect_noise((side, side), 20 + seed % 7)
    bands = [ramp.rotate(90 * (seed % 4)), noise, Image.new("L", (side, side), seed * 37 % 256)]
    out = io.BytesIO()
    Image.merge("RGB", bands).save(out, "JPEG", quality=90)
    return out.getvalue()


def csv_of(products: Sequence[Sequence[str]]) -> bytes:
    """A CSV with one product a list of links."""
    table = [rows.COLUMNS, *((str(n), f"Product {n}", ",".join(urls)) for n, urls in enumerate(products, 1))]
    return "".join(map(rows.record, table)).encode()


@dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This environment without settings of ImageBatch, and `extra`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("IMAGEBATCH_") and name != "DATABASE_URL"
    }
    return {**kept, "IMAGEBATCH_EXAMPLES_PORT": "0", **extra}


async def imagebatch(*words: str | Path, **extra: str) -> Ended:
    """Run the command to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "imagebatch_cli", *map(str, words), env=environment(extra),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(DEADLINE_S):
        stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, stdout.decode(), stderr.decode())


class Up:
    """`imagebatch up` on a data folder: an async context manager that ends it with all its processes."""

    def __init__(self, data: Path, **extra: str) -> None:
        (self.port,) = free_ports(1)
        self._data, self._extra = data, extra
        self._process: asyncio.subprocess.Process | None = None
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=30)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        await self.stop()

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "imagebatch_cli", "up", "--port", str(self.port),
                "--data", str(self._data), env=environment(self._extra), stdout=log, stderr=log,
            )  # fmt: skip
        async with asyncio.timeout(DEADLINE_S):
            while not await self._is_ready():
                assert self._process.returncode is None, "imagebatch up ended at its start"
                await asyncio.sleep(POLL_S)

    async def _is_ready(self) -> bool:
        try:
            return (await self.http.get("/readyz")).is_success
        except httpx.HTTPError:
            return False

    async def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            async with asyncio.timeout(DEADLINE_S):
                await self._process.wait()

    async def interrupt_twice(self) -> int:
        """Ctrl-C, and again while it is stopping, which something must hold up; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        await until(lambda: "Stopping" in self._log.read_text())
        self._process.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE_S):
            return await self._process.wait()

    @property
    def _log(self) -> Path:
        return self._data.parent / f"{self._data.name}.log"

    def input_of(self, request_id: str) -> list[str]:
        """The keys of a batch's canonical CSV and plan on the embedded S3."""
        system = DataFolder(self._data).read()
        settings = S3Settings(
            s3_endpoint=f"http://127.0.0.1:{system.ports['s3']}", s3_bucket=BUCKET, s3_addressing="path",
            s3_access_key=system.s3_access_key, s3_secret_key=SecretStr(system.s3_secret_key),
        )  # fmt: skip
        store = S3Store(settings)
        try:
            found = [stored.key for stored in store.list(keys.batch_prefix(request_id))]
        finally:
            store.close()
        return [key for key in found if "/input" in key or "/plan" in key]

    def family(self) -> list[psutil.Process]:
        """The process and everything it started."""
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def kill_all(self) -> None:
        """SIGKILL for the whole family, as a power cut; the parent is stopped first, so that it starts no more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    async def ended(self) -> None:
        """Wait until the process is gone."""
        assert self._process is not None
        async with asyncio.timeout(DEADLINE_S):
            await self._process.wait()

    async def kill(self, *, with_children: bool) -> None:
        """SIGKILL, as a power cut or an impatient admin would."""
        assert self._process is not None
        for process in self.family() if with_children else self.family()[:1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await self._process.wait()

    async def upload(self, content: bytes, **fields: str) -> dict[str, Any]:
        """POST /upload; options that must come first go into the query."""
        first = {name: fields.pop(name) for name in ("rowsPerShard",) if name in fields}
        response = await self.http.post(
            "/upload", params=first, data=fields, files={"file": ("products.csv", content, "text/csv")}
        )
        assert response.status_code == 202, response.text
        document: dict[str, Any] = response.json()
        return document

    async def status(self, request_id: str) -> dict[str, Any]:
        document: dict[str, Any] = (await self.http.get(f"/status/{request_id}")).json()
        return document

    async def until_phase(self, request_id: str, phase: str) -> None:
        """Wait until a request is in a phase."""

        async def is_there() -> bool:
            return bool((await self.status(request_id))["phase"] == phase)

        await until(is_there)

    async def until_done(self, request_id: str, images: int | None = None) -> dict[str, Any]:
        """Wait for the end of a request, or until `images` of it are done."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                status = await self.status(request_id)
                done = status["images"]["succeeded"] + status["images"]["failed"]
                if status["status"] != "pending" or (images is not None and done >= images):
                    return status
                await asyncio.sleep(POLL_S)
