"""Batches without pause on a local system whose parts are killed at random, and then in peace.

The first half of the time everything may be killed: the whole system at once, its parent alone, Postgres, S3,
jobrunners, codec processes. In the second half nothing is, and the memory of what runs is watched.
"""

import asyncio
import random
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil

from imagebatch_testing.local import Up, csv_of
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.web import Web

PICTURES = 20
MISSING = "/missing.jpg"
ROWS_PER_SHARD = "10"
AT_ONCE = 4
LONG_S = 420.0
"""The pauses between tries of a shard grow to five minutes."""


@dataclass
class Batch:
    """What was uploaded: `links` of which `missing` are not there."""

    key: str
    content: bytes
    links: int
    missing: int
    request_id: str = ""
    status: dict[str, Any] = field(default_factory=dict)


@dataclass
class Findings:
    """What a soak found. `slopes` are by program, in KiB of memory a batch, while nothing was killed."""

    batches: list[Batch] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    downloads: int = 0
    slopes: dict[str, float] = field(default_factory=dict)
    files: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def links(self) -> int:
        return sum(batch.links for batch in self.batches)

    def lines(self) -> str:
        again = self.downloads - self.links
        slopes = ", ".join(f"{name} {slope:+.0f} KiB a batch" for name, slope in sorted(self.slopes.items()))
        kills = ", ".join(f"{count} of {name}" for name, count in sorted(self.kills.items()))
        return (
            f"{len(self.batches)} batches of {self.links} links, {sum(self.kills.values())} kills ({kills})\n"
            f"{again} downloads again\nmemory in peace: {slopes}\n"
            f"open files in peace, first and last: {self.files}"
        )


class Soak:
    """Runs it. `dice` decides what is killed and when, and how large batches are."""

    def __init__(self, up: Up, shop: Web, receiver: Receiver, dice: random.Random) -> None:
        self._up, self._shop, self._receiver, self._dice = up, shop, receiver, dice
        self._room = asyncio.Semaphore(AT_ONCE)
        self._down = False
        self.found = Findings()

    async def run(self, seconds: float, batches: int) -> Findings:
        """Half of the seconds with kills, half in peace; at most so many batches in each half."""
        killing = asyncio.create_task(self._kill_at_random())
        try:
            await self._submit_for(seconds / 2, batches // 2)
        finally:
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
        await self._restart_if_down()
        await self._until_all_ended()
        await self._in_peace(seconds / 2, batches // 2)
        self.found.downloads = self._shop.requests.total()
        return self.found

    # -- batches -------------------------------------------------------------------------------------

    async def _submit_for(self, seconds: float, batches: int) -> None:
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(batches):
                await self._room.acquire()
                if time.monotonic() > until:
                    self._room.release()
                    return
                group.create_task(self._one())

    async def _one(self) -> None:
        try:
            batch = self._made()
            self.found.batches.append(batch)
            await self._accepted(batch)
            await self._ended(batch)
        finally:
            self._room.release()

    def _made(self) -> Batch:
        rows, links, missing = self._dice.choice([1, 2, 5, 12, 30, 60]), [], 0
        for row in range(rows):
            is_missing = self._dice.random() < 0.05
            missing += is_missing
            path = MISSING if is_missing else f"/{self._dice.randrange(PICTURES)}.jpg"
            links.append([f"{self._shop.url(path)}?{row}"])
        return Batch(uuid.uuid4().hex, csv_of(links), rows, missing)

    async def _accepted(self, batch: Batch) -> None:
        """As clients are told to: again, with the same key, until it is accepted."""
        form = {"webhook_url": self._receiver.url("/hook")}
        file = {"file": ("products.csv", batch.content, "text/csv")}
        headers = {"Idempotency-Key": batch.key}
        async with asyncio.timeout(LONG_S):
            while not batch.request_id:
                with suppress(httpx.HTTPError):
                    answer = await self._up.http.post(
                        "/upload",
                        params={"rowsPerShard": ROWS_PER_SHARD},
                        data=form,
                        files=file,
                        headers=headers,
                    )
                    if answer.status_code == 202:
                        batch.request_id = answer.json()["request_id"]
                        continue
                    assert answer.status_code in {409, 500, 503}, answer.text
                await asyncio.sleep(0.2)

    async def _ended(self, batch: Batch) -> None:
        async with asyncio.timeout(LONG_S):
            while batch.status.get("status", "pending") == "pending":
                with suppress(httpx.HTTPError):
                    answer = await self._up.http.get(f"/status/{batch.request_id}")
                    if answer.status_code == 200:
                        batch.status = answer.json()
                await asyncio.sleep(0.2)

    async def _until_all_ended(self) -> None:
        for batch in self.found.batches:
            await self._ended(batch)

    # -- kills ---------------------------------------------------------------------------------------

    async def _kill_at_random(self) -> None:
        ways: dict[str, Callable[[], bool]] = {
            "everything": self._kill_everything,
            "the parent": self._kill_parent,
            "Postgres": lambda: self._kill_one("postgres -D"),
            "S3": lambda: self._kill_one("weed"),
            "a jobrunner": lambda: self._kill_one("imagebatch_jobrunner"),
            "a codec process": lambda: self._kill_one("decoder"),
        }
        while True:
            await asyncio.sleep(self._dice.uniform(0.5, 4))
            name = self._dice.choice(list(ways))
            if ways[name]():
                self.found.kills[name] += 1
            await self._restart_if_down()

    def _kill_everything(self) -> bool:
        self._up.kill_all()
        self._down = True
        return True

    def _kill_parent(self) -> bool:
        self._up.family()[0].kill()
        self._down = True
        return True

    def _kill_one(self, words: str) -> bool:
        """Kill one process of the system whose command has these words; False when there is none."""
        found = []
        for process in self._up.family()[1:]:
            with suppress(psutil.Error):
                if words in " ".join(process.cmdline()):
                    found.append(process)
        if not found:
            return False
        with suppress(psutil.Error):
            self._dice.choice(found).kill()
        return True

    async def _restart_if_down(self) -> None:
        if self._down:
            await self._up.ended()
            await self._up.start()
            self._down = False

    # -- in peace ------------------------------------------------------------------------------------

    async def _in_peace(self, seconds: float, batches: int) -> None:
        """The first third warms up; then what the memory of each program does, a batch."""
        await self._submit_for(seconds / 3, batches // 3)
        watched = self._programs()
        rss: dict[str, list[tuple[int, int]]] = {name: [] for name in watched}
        first = {name: process.num_fds() for name, process in watched.items()}
        running = asyncio.create_task(self._submit_for(seconds * 2 / 3, batches * 2 // 3))
        while not running.done():
            ended = sum(batch.status.get("status", "pending") != "pending" for batch in self.found.batches)
            for name, process in watched.items():
                rss[name].append((ended, process.memory_info().rss))
            await asyncio.sleep(0.5)
        await running
        for name, points in rss.items():
            batches_done, sizes = zip(*points, strict=True)
            line = statistics.linear_regression(batches_done, sizes)
            self.found.slopes[name] = line.slope / 1024
            self.found.files[name] = (first[name], watched[name].num_fds())

    def _programs(self) -> dict[str, psutil.Process]:
        family = self._up.family()
        found = {"imagebatch": family[0]}
        for process in family[1:]:
            words = " ".join(process.cmdline())
            for name, sign in (("Postgres", "postgres -D"), ("S3", "weed")):
                if sign in words:
                    found.setdefault(name, process)
        return found
