"""The commands as their users run them, against the real system."""

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from imagebatch_cli.screen import HEAD
from imagebatch_client import AsyncClient
from imagebatch_testing.local import Ended, environment, imagebatch
from imagebatch_testing.receiver import Reply
from imagebatch_testing.shop_and_system import SECRET, Running
from imagebatch_testing.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

Command = Callable[..., Awaitable[Ended]]


async def uploaded(system: Running, data: bytes, **options: Any) -> str:
    async with AsyncClient(system.url) as client:
        return (await client.submit(data, **options)).id


async def ended(system: Running, data: bytes, **options: Any) -> str:
    async with AsyncClient(system.url) as client:
        accepted = await client.submit(data, **options)
        await client.wait(accepted.id, 60)
        return accepted.id


# -- submit, watch, status, list ---------------------------------------------------------------------------


async def test_submit_prints_the_answer_and_says_how_to_go_on(
    command: Command, system: Running, tmp_path: Path
) -> None:
    file = tmp_path / "p.csv"
    file.write_bytes(system.csv())
    for words in ([], ["--json"]):
        done = await command("submit", file, "--quality", "60", "--progressive", "--keep-metadata", *words)
        assert done.code == 0, done.stderr
        answer = json.loads(done.stdout)
        assert (answer["rows"], answer["status"]) == (1, "pending")
        assert (f"imagebatch watch {answer['request_id']}" in done.stderr) == (words == [])


async def test_submit_and_watch_ends_with_the_batch(
    command: Command, system: Running, tmp_path: Path
) -> None:
    file = tmp_path / "p.csv"
    file.write_bytes(system.csv(good=2, missing=1))
    done = await command("submit", file, "--watch")
    assert done.code == 0, done.stderr
    assert "Complete: 2 of 3 images done, 1 failed" in done.stdout
    assert "/missing/" in done.stdout
    assert "HTTP 404. 404 and 410: correct the link" in done.stdout
    assert "% smaller" in done.stdout
    assert "3 rows, 3 images" in done.stderr
    assert "imagebatch results" in done.stderr


async def test_watch_prints_a_json_line_an_event(command: Command, system: Running, tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_bytes(system.csv())
    done = await command("submit", file, "--watch", "--json")
    accepted, *documents = map(json.loads, done.stdout.splitlines())
    assert {document["request_id"] for document in documents} == {accepted["request_id"]}
    assert documents[-1]["status"] == "complete"
    watched = await command("watch", accepted["request_id"], "--json")
    assert [json.loads(line) for line in watched.stdout.splitlines()] == [documents[-1]]
    asked = await command("status", accepted["request_id"])
    assert json.loads(asked.stdout) == documents[-1]


async def test_a_failed_batch_ends_with_1(command: Command, system: Running, tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_bytes(system.csv(good=0, missing=2))
    done = await command("submit", file, "--watch")
    assert (done.code, "0 of 2 images done, 2 failed" in done.stdout) == (1, True)


async def test_ctrl_c_leaves_the_batch_running_and_says_how_to_go_on(system: Running, tmp_path: Path) -> None:
    data, may_come = system.held_csv()
    request_id = await uploaded(system, data)
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "imagebatch_cli", "watch", request_id, stdout=output, stderr=output,
            env=environment({"IMAGEBATCH_SERVER": system.url}),
        )  # fmt: skip
    await until(lambda: b"0/2" in log.read_bytes() or b"1/2" in log.read_bytes())
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130
    said = log.read_text()
    assert f"imagebatch watch {request_id}" in said
    assert f"imagebatch cancel {request_id}" in said
    may_come.set()
    assert (await system.up.until_done(request_id))["status"] == "complete"


async def test_a_list_has_a_line_a_batch_newest_first(command: Command, system: Running) -> None:
    first, second = await ended(system, system.csv()), await ended(system, system.csv(good=1, missing=1))
    shown = await command("list", "--limit", 2)
    head, *lines = shown.stdout.splitlines()
    assert head.split() == list(HEAD)
    assert [line.split()[0] for line in lines] == [second, first]
    assert "2/2" in lines[0]
    assert "1 failed" in lines[0]
    assert "smaller" in lines[0]
    one = await command("list", "--limit", 1)
    assert f"imagebatch list --after {second}" in one.stderr
    document = json.loads((await command("list", "--limit", 1, "--json", "--status", "complete")).stdout)
    assert ([batch["request_id"] for batch in document["batches"]], document["next_after"]) == (
        [second],
        second,
    )
    after = await command("list", "--limit", 1, "--after", second)
    assert after.stdout.splitlines()[1].startswith(first)


# -- verbs ---------------------------------------------------------------------------------------------------


async def test_the_verbs_change_a_batch(command: Command, system: Running) -> None:
    data, may_come = system.held_csv()
    request_id = await uploaded(system, data)
    suspended = await command("suspend", request_id)
    assert (suspended.code, "Suspended" in suspended.stdout) == (0, True)
    resumed = await command("resume", request_id, "--json")
    assert json.loads(resumed.stdout)["reason"] is None
    assert (await command("delete", request_id)).code == 2
    assert (await command("cancel", request_id)).code == 0
    watched = await command("watch", request_id)
    assert (watched.code, "Cancelled: " in watched.stdout) == (1, True)
    may_come.set()
    retried = await command("retry", request_id)
    assert (retried.code, retried.stdout.split()[:2]) == (0, [request_id, "Pending"])
    assert (await command("watch", request_id)).code == 0
    again = await command("retry", request_id)
    assert (again.code, "nothing_to_retry" in again.stderr) == (2, True)
    assert "already_finished" in (await command("cancel", request_id)).stderr
    assert (await command("delete", request_id)).stdout == f"{request_id}  deleted\n"
    gone = await command("status", request_id)
    assert (gone.code, "unknown_request" in gone.stderr) == (2, True)


@pytest.mark.parametrize(
    "words",
    [["status"], ["watch"], ["cancel"], ["suspend"], ["resume"], ["retry"], ["delete", "--yes"], ["results"]],
    ids=lambda words: words[0],
)
async def test_a_batch_that_there_is_not_ends_with_2(
    command: Command, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = await command(*words, "nobody")
    assert (done.code, "unknown_request" in done.stderr, done.stdout) == (2, True, "")


async def test_a_server_that_does_not_answer_ends_with_1(command: Command, unused_port: int) -> None:
    done = await command("list", "--server", f"http://127.0.0.1:{unused_port}")
    assert (done.code, "no answer from" in done.stderr) == (1, True)


# -- results -------------------------------------------------------------------------------------------------


def listed(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_results_are_saved_where_they_are_wanted(
    command: Command, system: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request_id = await ended(system, system.csv(good=2, missing=1))
    done = await command("results", request_id)
    assert done.code == 0, done.stderr
    assert set(listed(tmp_path)) == {
        f"{request_id}_output.csv",
        f"{request_id}_errors.csv",
    }
    assert "HTTP 404" in done.stdout
    named = await command("results", request_id, "--report", "r/report.csv", "--images", "copies", "--json")
    assert json.loads(named.stdout)["request_id"] == request_id
    assert len((tmp_path / "r" / "report.csv").read_text().splitlines()) == 4
    assert len(listed(tmp_path / "copies")) == 2
    assert len(listed(tmp_path)) == 4


async def test_the_images_of_the_report_are_shown_page_by_page(command: Command, system: Running) -> None:
    request_id = await ended(system, system.csv(good=1, missing=1))
    shown = await command("images", request_id, "--outcome", "failed")
    assert (shown.code, len(shown.stdout.splitlines()), "HTTP 404" in shown.stdout) == (0, 2, True)
    first = json.loads((await command("images", request_id, "--limit", 1, "--json")).stdout)
    rest = json.loads((await command("images", request_id, "--after", first["next_after"], "--json")).stdout)
    assert [image["row"] for page in (first, rest) for image in page["images"]] == [1, 2]
    assert rest["next_after"] is None
    forged = await command("images", request_id, "--after", "x")
    assert (forged.code, "invalid_parameter" in forged.stderr) == (2, True)


async def test_results_of_a_batch_that_runs_are_refused(command: Command, system: Running) -> None:
    data, may_come = system.held_csv()
    request_id = await uploaded(system, data)
    done = await command("results", request_id, "--output", "/dev/null")
    assert (done.code, f"imagebatch watch {request_id}" in done.stderr) == (2, True)
    may_come.set()


# -- check ---------------------------------------------------------------------------------------------------


def a_file(tmp_path: Path, *links: str) -> Path:
    path = tmp_path / "p.csv"
    rows = "".join(f'{number},Shirt,"{link}"\n' for number, link in enumerate(links, 1))
    path.write_text(f"Serial Number,Product Name,Input Image Urls\n{rows}")
    return path


async def test_a_file_is_checked_without_a_server(tmp_path: Path) -> None:
    path = a_file(tmp_path, "https://a.test/1.jpg,https://b.test/2.jpg", "https://b.test/3.jpg", "htp:/oops")
    done = await imagebatch("check", path, "--json", IMAGEBATCH_DATA=str(tmp_path / "data"))
    assert done.code == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["rows"], document["images"]) == (3, 4)
    assert document["hosts"] == [{"host": "b.test", "images": 2}, {"host": "a.test", "images": 1}]
    assert [warning["code"] for warning in document["warnings"]] == ["bad_link"]
    shown = await imagebatch("check", path, IMAGEBATCH_DATA=str(tmp_path / "data"))
    assert "3 rows, 4 images" in shown.stdout
    assert "b.test" in shown.stdout
    assert "line 4" in shown.stderr
    assert not (tmp_path / "data").exists()


async def test_a_server_and_the_command_say_the_same_of_a_file(command: Command, tmp_path: Path) -> None:
    path = a_file(tmp_path, "https://a.test/1.jpg,https://b.test/2.jpg", "htp:/oops")
    here = await imagebatch("check", path, "--json", IMAGEBATCH_DATA=str(tmp_path / "data"))
    there = await command("check", path, "--json")
    assert (here.code, there.code) == (0, 0), there.stderr
    assert json.loads(here.stdout) == json.loads(there.stdout)
    assert (await command("check", path)).stdout.startswith("This can be uploaded: 2 rows, 3 images")


async def test_a_shops_export_is_checked_with_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text(
        "Handle,Title,Price,Image Src\nshirt,Shirt,9,https://a.test/1.jpg\nshirt,,,https://a.test/2.jpg\n"
    )
    data = {"IMAGEBATCH_DATA": str(tmp_path / "data")}
    done = await imagebatch("check", path, "--preset", "shopify", "--json", **data)
    assert json.loads(done.stdout)["hosts"] == [{"host": "a.test", "images": 2}]
    named = await imagebatch("check", path, "--columns", "serial=Handle,links=Image Src", **data)
    assert (named.code, "2 rows, 2 images" in named.stdout) == (0, True)
    assert "columns   serial=Handle,links=Image Src" in named.stdout
    wrong = await imagebatch("check", path, "--columns", "pictures=Image Src", **data)
    assert (wrong.code, "invalid_option" in wrong.stderr) == (2, True)


async def test_a_bad_file_or_option_is_refused_as_an_upload_would_be(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("Serial Number,Product Name\n1,Shirt\n")
    for words, code in (
        ([bad], "wrong_header"),
        ([a_file(tmp_path, "https://a.test/"), "--quality", "0"], "invalid_option"),
    ):
        done = await imagebatch("check", *words, IMAGEBATCH_DATA=str(tmp_path / "data"))
        assert (done.code, code in done.stderr, done.stdout) == (2, True, "")


# -- webhooks ------------------------------------------------------------------------------------------------


async def test_a_webhook_is_verified_from_what_was_received(
    command: Command, system: Running, tmp_path: Path
) -> None:
    await uploaded(system, system.csv(), webhook_url=system.receiver.url("/verified"))
    await until(lambda: any(got.path == "/verified" for got in system.receiver.requests))
    got = next(got for got in system.receiver.requests if got.path == "/verified")
    body = tmp_path / "body.json"
    body.write_bytes(got.body)
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    words = [
        "webhooks",
        "verify",
        body,
        *(part for name in names for part in ("-H", f"{name}: {got.headers[name]}")),
    ]
    right = await command(*words, IMAGEBATCH_WEBHOOK_SECRET=SECRET)
    assert (right.code, right.stdout.startswith("Verified")) == (0, True)
    wrong = await command(*words, "--secret", "whsec_" + "A" * 32, "--json")
    assert (wrong.code, json.loads(wrong.stdout)["verified"]) == (1, False)
    assert (await command("webhooks", "verify", body, "-H", "nonsense")).code == 2


async def test_the_webhooks_of_a_batch_are_shown_sent_again_and_tried(
    command: Command, system: Running
) -> None:
    url = system.receiver.url("/commanded")
    request_id = await ended(system, system.csv(), webhook_url=url)
    await until(lambda: any(got.path == "/commanded" for got in system.receiver.requests))
    shown = await command("webhooks", "list", request_id)
    head, line = shown.stdout.splitlines()
    assert head.split()[:3] == ["WEBHOOK", "ATTEMPT", "STATE"]
    assert url in line
    document = json.loads((await command("webhooks", "list", request_id, "--json")).stdout)
    assert [delivery["url"] for delivery in document["deliveries"]] == [url]
    again = json.loads((await command("webhooks", "redeliver", request_id, "--json")).stdout)
    assert again["webhook_id"] == document["deliveries"][0]["webhook_id"]
    tried = await command("webhooks", "test", url)
    assert (tried.code, tried.stdout.split()[1]) == (0, "delivered")
    system.receiver.replies["/gone"] = Reply(410)
    refused = await command("webhooks", "test", system.receiver.url("/gone"))
    assert (refused.code, "failed: HTTP 410" in refused.stdout) == (1, True)
    without = await command("webhooks", "redeliver", await ended(system, system.csv()))
    assert (without.code, "no_webhook" in without.stderr) == (2, True)


# -- the server that is meant --------------------------------------------------------------------------------


async def test_without_a_server_the_one_of_the_data_folder_is_asked(system: Running) -> None:
    done = await imagebatch("list", "--json", IMAGEBATCH_DATA=str(system.data))
    assert done.code == 0, done.stderr
    assert "batches" in json.loads(done.stdout)
