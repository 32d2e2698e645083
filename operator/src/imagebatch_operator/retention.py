"""Removes what is no longer kept, in the operator: beside its other work, and by `gc` for an administrator.

A batch whose object is there may have no row yet, or none any more: what it has on S3 is no orphan.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial

from imagebatch.batch import gc
from imagebatch.batch.collector import Collector
from imagebatch.batch.removal import Count, uncounted
from imagebatch.batch.sweep import Sweeper
from imagebatch.records import Records, Request, connect
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.s3 import S3Store
from imagebatch_operator import kube
from imagebatch_operator.kube import Kube
from imagebatch_operator.settings import OperatorSettings

COMMAND = "gc"


def sweeper(
    settings: OperatorSettings, records: Records, store: AsyncStore, api: Kube, count: Count = uncounted
) -> Sweeper:
    promised = partial(_promised, api, settings.watched)
    return Sweeper(records, store, settings.retention, promised=promised, count=count)


async def _promised(api: Kube, namespaces: tuple[str, ...]) -> set[str]:
    """The request ids of all objects. Raises KubeError: then nothing is anybody's orphan."""
    return set().union(*[await api.batch_ids(namespace) for namespace in namespaces])


def collector(
    settings: OperatorSettings,
    records: Records,
    store: AsyncStore,
    api: Kube,
    *,
    count: Count,
    seen: Callable[[Request], None],
) -> Collector:
    sweeps = sweeper(settings, records, store, api, count)
    return Collector(records, store, settings.retention, sweeps, count=count, seen=seen)


def arguments(given: list[str]) -> argparse.Namespace:
    """What `gc` is asked for. Ends the program when that is nothing it knows."""
    parser = argparse.ArgumentParser(
        prog=f"python -m imagebatch_operator {COMMAND}", description="Remove what is no longer kept."
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--trust-database", action="store_true", help="take the database for one that knows every batch"
    )
    return parser.parse_args(given)


async def run(settings: OperatorSettings, asked: argparse.Namespace) -> int:
    """`gc`: one round, beside the operator that runs. Returns the exit code."""
    plain = S3Store(settings)
    try:
        async with connect(settings) as records, kube.connect() as api:
            store = AsyncStore(plain)
            sweeps = sweeper(settings, records, store, api)
            if asked.trust_database and not asked.dry_run:
                await sweeps.trust()
            collecting = Collector(records, store, settings.retention, sweeps)
            report = await gc.run(collecting, sweeps, is_dry_run=asked.dry_run)
    finally:
        plain.close()
    text = json.dumps(report.document(), indent=2) if asked.json else "\n".join(report.lines())
    sys.stdout.write(f"{text}\n")
    return 1 if report.put_off else 0
