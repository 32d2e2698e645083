"""Random valid changes of an object's spec between any two looks of the operator.

Whatever was changed before, the batch ends as its last spec wants it, once an attempt, and one Job at a time runs.
"""

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random, randrange
from typing import Any

import pytest

from imagebatch.batch.shard import ShardId
from imagebatch.errors import AlreadyExistsError
from imagebatch.records import Records
from imagebatch.storage.store import ObjectStore
from imagebatch_testing.operated import INLINE, ROWS
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import JobController, Objects, leave_report, new_name

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.integration,
    pytest.mark.timeout(240, func_only=True),
    pytest.mark.usefixtures("operator"),
]

CHANGES = 25
SEED = int(os.environ.get("IMAGEBATCH_CHANGES_SEED", randrange(10**6)))


@dataclass
class Changing:
    """One object that is changed all the time, and the Job controller that plays along."""

    name: str
    uid: str
    objects: Objects
    store: ObjectStore
    dice: Random
    spec: dict[str, Any] = field(default_factory=lambda: {"suspend": False, "cancel": False, "attempt": 1})
    told: list[dict[str, Any]] = field(default_factory=list)
    most_jobs: int = 0

    async def change(self) -> None:
        """A change that the resource allows."""
        kind = self.dice.choice(["suspend", "parallelism", "keepDays", "cancel", "attempt", "nothing"])
        wanted: dict[str, Any] = {}
        match kind:
            case "suspend":
                wanted = {"suspend": not self.spec["suspend"]}
            case "parallelism":
                wanted = {"sharding": {"parallelism": self.dice.randint(1, 8)}}
            case "keepDays":
                wanted = {"keepDays": {"outputs": self.dice.randint(1, 9)}}
            case "cancel" if self.dice.random() < 0.3:
                wanted = {"cancel": True}
            case "attempt" if await self._is_finished():
                wanted = {"attempt": self.spec["attempt"] + 1, "cancel": False, "suspend": False}
        if wanted:
            self.told.append(wanted)
            self.spec |= {name: value for name, value in wanted.items() if name in self.spec}
            await self.objects.change(self.name, **wanted)

    async def _is_finished(self) -> bool:
        status = await self.objects.status(self.name)
        is_shown = status.get("attempt", 1) == self.spec["attempt"]
        return is_shown and status.get("phase") in {"Complete", "Failed", "Cancelled"}

    async def play(self) -> None:
        """The Job controller: ends a shard now and then."""
        while True:
            jobs = [
                job for job in await self.objects.jobs(self.uid) if "deletionTimestamp" not in job["metadata"]
            ]
            self.most_jobs = max(self.most_jobs, len(jobs))
            for job in jobs:
                if not job["spec"].get("suspend") and not job.get("status", {}).get("conditions"):
                    await self._end_a_shard(job)
            await asyncio.sleep(0.1)

    async def _end_a_shard(self, job: dict[str, Any]) -> None:
        controller = JobController(self.objects, job)
        environment = job["spec"]["template"]["spec"]["containers"][0]["env"]
        attempt = int(next(one["value"] for one in environment if one["name"] == "IMAGEBATCH_ATTEMPT"))
        index = self.dice.randrange(len(controller.shards))
        with suppress(AlreadyExistsError):
            shard = ShardId(self.uid, attempt, controller.shards[index])
            await asyncio.to_thread(leave_report, self.store, shard)
        with suppress(AssertionError):  # it was deleted meanwhile
            await controller.complete(index)


@pytest.mark.parametrize("number", range(4))
async def test_the_last_spec_is_what_becomes_of_it(
    objects: Objects, bucket: ObjectStore, operated_records: Records, receiver: Receiver, number: int
) -> None:
    dice = Random(SEED + number)
    webhook = {"url": receiver.url("/hook")}
    made = await objects.create(new_name("changed"), {**INLINE, "webhook": webhook})
    changing = Changing(made["metadata"]["name"], made["metadata"]["uid"], objects, bucket, dice)
    playing = asyncio.create_task(changing.play())
    try:
        for _ in range(CHANGES):
            await changing.change()
            await asyncio.sleep(dice.uniform(0, 0.4))
        await objects.change(changing.name, suspend=False)

        async def is_over() -> bool:
            return await changing._is_finished() and not await objects.jobs(changing.uid)

        await until(is_over, 90)
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
    about = f"IMAGEBATCH_CHANGES_SEED={SEED}: {changing.told}"
    status = await objects.status(changing.name)
    row = await operated_records.get(changing.uid)
    assert row is not None
    assert (row.phase, row.attempt) == (status["phase"], changing.spec["attempt"]), about
    if status["phase"] == "Complete":
        assert status["images"]["succeeded"] == ROWS, about
    else:
        assert (status["phase"], changing.spec["cancel"]) == ("Cancelled", True), about
    assert changing.most_jobs <= 1, about
    ids = {one.headers["webhook-id"] for one in receiver.requests if changing.uid.encode() in one.body}
    assert len(ids) <= changing.spec["attempt"], about
    assert (await operated_records.deliveries.of(changing.uid))[0].attempt == changing.spec["attempt"], about
