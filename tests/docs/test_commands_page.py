"""docs/cli.md has every command and option, and what it shows works; so do the examples of the client."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from imagebatch_cli.data_folder import free_ports
from imagebatch_cli.kubectl.main import cli as kubectl
from imagebatch_cli.main import cli
from imagebatch_cli.options import upload_options
from imagebatch_testing.local import Up, imagebatch

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "cli.md").read_text()
EXAMPLE = "examples/products.csv"
SHARED = ("--server", "--token", "--json", "--namespace", "-n", "--context")


def commands(name: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Every command of a group by what one types."""
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(f"{name} {word}", command)
        else:
            yield f"{name} {word}", command


COMMANDS = dict([*commands("imagebatch", cli), *commands("kubectl imagebatch", kubectl)])


def section(title: str) -> str:
    """What stands under a heading."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None, f"docs/cli.md has no {title}"
    return found[1]


def options(command: click.Command) -> set[str]:
    found = (option for option in command.params if isinstance(option, click.Option))
    return {word for option in found for word in (*option.opts, *option.secondary_opts)}


UPLOAD = options(click.command()(upload_options(lambda **_: None)))


def test_the_options_of_uploads_are_on_the_page() -> None:
    text = section("Options of uploads")
    assert [word for word in UPLOAD if f"`{word}" not in text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_on_the_page_with_its_options(name: str) -> None:
    text = section(name)
    own = options(COMMANDS[name]) - UPLOAD
    assert [word for word in own if word not in SHARED and f"{word}" not in text] == []
    if options(COMMANDS[name]) >= UPLOAD:
        assert name in section("Options of uploads") or f"`{name.rsplit(maxsplit=1)[-1]}`" in section(
            "Options of uploads"
        )


def test_the_page_has_no_command_and_no_option_that_there_is_not() -> None:
    headings = set(re.findall(r"^### (.+)$", PAGE, re.MULTILINE))
    assert headings == set(COMMANDS)
    known = set.union(*(options(command) for command in COMMANDS.values())) | {"--help"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", PAGE)) <= known


def shown(name: str, page: str, language: str) -> str:
    """The block under `<!-- tested: NAME -->` in a page."""
    text = (ROOT / page).read_text()
    found = re.search(rf"<!-- tested: {name} -->\n```{language}\n(.+?)\n```", text, re.DOTALL)
    assert found is not None
    return found[1]


@dataclass(frozen=True)
class Started:
    """A system, and the example file with the links of its own shop."""

    up: Up
    file: str


@pytest.fixture
async def started(tmp_path: Path) -> AsyncIterator[Started]:
    (port,) = free_ports(1)
    file = tmp_path / "products.csv"
    file.write_bytes((ROOT / EXAMPLE).read_bytes().replace(b":8091/", f":{port}/".encode()))
    async with Up(tmp_path / "data", IMAGEBATCH_EXAMPLES_PORT=str(port)) as running:
        yield Started(running, str(file))


@pytest.mark.integration
@pytest.mark.anyio
async def test_the_commands_that_the_page_shows_work(started: Started, tmp_path: Path) -> None:
    server = {"IMAGEBATCH_SERVER": f"http://127.0.0.1:{started.up.port}"}
    replaced = {
        EXAMPLE: started.file,
        "build/out.csv": str(tmp_path / "out.csv"),
        "build/copies": str(tmp_path / "copies"),
    }
    request_id, ended = "", {}
    for line in shown("commands", "docs/cli.md", "sh").splitlines():
        program, *words = shlex.split(line, comments=True)
        assert program == "imagebatch"
        words = [replaced.get(word, request_id if word == "ID" else word) for word in words]
        done = await imagebatch(*words, **server)
        assert done.code == 0, (line, done.stderr)
        ended[words[0]] = done
        if words[0] == "submit":
            listed = await imagebatch("list", "--limit", "1", "--json", **server)
            request_id = json.loads(listed.stdout)["batches"][0]["request_id"]
    assert "28 rows, 69 images" in ended["check"].stdout
    assert request_id in ended["list"].stdout
    assert "deleted" in ended["delete"].stdout
    assert (tmp_path / "out.csv").exists()


@pytest.mark.integration
@pytest.mark.anyio
async def test_the_commands_that_show_and_remove_what_is_not_kept_work(tmp_path: Path) -> None:
    said = []
    for line in shown("gc", "docs/retention.md", "sh").splitlines():
        _, *words = shlex.split(line, comments=True)
        done = await imagebatch(*words, "--data", str(tmp_path / "data"))
        assert done.code == 0, (line, done.stderr)
        said.append(done.stdout.splitlines()[0])
    assert [words.partition(":")[0] for words in said] == ["would go", "removed"]


@pytest.mark.integration
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "page"),
    [("client", "README.md"), ("client", "docs/client.md"), ("async client", "docs/client.md")],
)
async def test_the_examples_of_the_client_work(
    started: Started, name: str, page: str, tmp_path: Path
) -> None:
    program = shown(name, page, "python").replace(":8080", f":{started.up.port}")
    program = program.replace("build/", f"{tmp_path}/").replace(EXAMPLE, started.file)
    done = subprocess.run(  # noqa: ASYNC221 - nothing else goes on
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "of 69" in done.stdout
    assert ("/shirts/riverside-navy-detail.jpg HTTP 404" in done.stdout) == (name == "client")


def test_an_example_of_the_client_is_ten_lines() -> None:
    for page in ("README.md", "docs/client.md"):
        assert len(shown("client", page, "python").splitlines()) <= 10
