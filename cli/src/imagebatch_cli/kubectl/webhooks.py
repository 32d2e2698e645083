"""`kubectl imagebatch webhooks`: what the status says of them, and what the operator is asked to send."""

from collections.abc import Mapping
from typing import Any

import click

from imagebatch.custom_resource import REDELIVERY_REQUESTED_AT, WEBHOOK_TEST_REQUESTED_AT
from imagebatch.errors import InputRefusedError
from imagebatch_cli.commands import webhooks as shown
from imagebatch_cli.exit_codes import COMPLETE
from imagebatch_cli.kubectl import changes
from imagebatch_cli.kubectl.asking import ask, timeout_option
from imagebatch_cli.kubectl.cluster import Cluster
from imagebatch_cli.kubectl.documents import deliveries_of, webhook_test_of
from imagebatch_cli.kubectl.words import cluster_options, name_argument, on_cluster
from imagebatch_cli.options import json_option

Json = Mapping[str, Any]


@click.group()
def webhooks() -> None:
    """Webhooks: what was sent, whether it arrives, and whether it is ours."""


webhooks.add_command(shown.verify_)


@webhooks.command("list")
@name_argument
@json_option
@cluster_options
def list_(name: str, as_json: bool, context: str | None, namespace: str | None) -> int:
    """List the webhooks of a batch, newest first."""

    async def work(cluster: Cluster) -> int:
        shown.show_deliveries(deliveries_of(await cluster.get(name)), as_json=as_json)
        return COMPLETE

    return on_cluster(context, namespace, work)


@webhooks.command()
@name_argument
@timeout_option
@json_option
@cluster_options
def redeliver(name: str, timeout_s: float, as_json: bool, context: str | None, namespace: str | None) -> int:
    """Send the webhook of a batch again now, under the same id."""

    async def work(cluster: Cluster) -> int:
        changes.check_redeliverable(await cluster.get(name))
        body = await ask(cluster, name, REDELIVERY_REQUESTED_AT, _redelivery, timeout_s)
        _check(_redelivery(body["status"]))
        shown.show_delivery(deliveries_of(body)[0], as_json=as_json)
        return COMPLETE

    return on_cluster(context, namespace, work)


@webhooks.command()
@name_argument
@timeout_option
@json_option
@cluster_options
def test(name: str, timeout_s: float, as_json: bool, context: str | None, namespace: str | None) -> int:
    """Send a signed test event to the webhook of a batch, and say whether it was taken."""

    async def work(cluster: Cluster) -> int:
        changes.check_has_webhook(await cluster.get(name))
        body = await ask(cluster, name, WEBHOOK_TEST_REQUESTED_AT, _test, timeout_s)
        answer = _test(body["status"])
        if "id" not in answer:
            _check(answer)
        return shown.show_test(webhook_test_of(answer), as_json=as_json)

    return on_cluster(context, namespace, work)


def _redelivery(status: Json) -> Json:
    found: Json = status.get("webhook", {}).get("redelivery", {})
    return found


def _test(status: Json) -> Json:
    found: Json = status.get("webhook", {}).get("test", {})
    return found


def _check(answer: Json) -> None:
    """Raise InputRefusedError for what the operator has refused."""
    if "error" in answer:
        raise InputRefusedError.of("not_sent", answer["error"])
