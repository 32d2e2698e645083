"""Asks the operator by an annotation of an object, and waits for its answer in the status.

docs/decisions/0019-asking-the-operator.md says why it is done so.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import click

from imagebatch_cli.kubectl.cluster import Cluster
from imagebatch_cli.kubectl.errors import UnansweredError
from imagebatch_cli.kubectl.following import bodies

Json = dict[str, Any]
AnswerOf = Callable[[Json], Mapping[str, Any]]
"""Finds the answer to a kind of question in a status; empty where there is none yet."""

timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    metavar="SECONDS",
    help="How long to wait for the operator's answer (default 30).",
)


async def ask(cluster: Cluster, name: str, annotation: str, answer_of: AnswerOf, timeout_s: float) -> Json:
    """Ask, and return the object with the answer. Raises UnansweredError and ClusterError."""
    now = datetime.now(UTC)
    await cluster.annotate(name, annotation, now.isoformat())
    try:
        async with asyncio.timeout(timeout_s), aclosing(bodies(cluster, name)) as found:
            return await _answered(found, answer_of, now)
    except TimeoutError:
        raise UnansweredError(name, timeout_s) from None


async def _answered(found: AsyncGenerator[Json, None], answer_of: AnswerOf, asked: datetime) -> Json:
    while True:
        body = await anext(found)
        if is_answer(answer_of(body.get("status") or {}), asked):
            return body


def is_answer(answer: Mapping[str, Any], asked: datetime) -> bool:
    """Whether it answers what was asked then, or what another asked later: only the last is answered."""
    try:
        answered = datetime.fromisoformat(answer.get("requestedAt", ""))
    except ValueError:  # nothing yet, or what somebody asked by hand
        return False
    return answered.tzinfo is not None and answered >= asked
