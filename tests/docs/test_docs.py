"""The documentation is complete, and what it shows works."""

import asyncio
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from imagebatch_api import tokens
from imagebatch_cli.data_folder import free_ports
from imagebatch_testing import screenshots
from imagebatch_testing.local import Ended, Up, imagebatch

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES_PORT = "8091"


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["settings.md", "errors.md"])
def test_the_reference_is_current(page: str) -> None:
    made = reference().PAGES[page]()
    assert (ROOT / "docs" / page).read_text() == made, "run: python docs/make_reference.py"


def test_every_setting_has_a_meaning() -> None:
    lines = [line for line in reference().settings_page().splitlines() if line.startswith("| `")]
    assert len(lines) > 30
    assert not [line for line in lines if line.endswith(("|  |", "| None |"))]


@pytest.mark.parametrize(
    "page",
    sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]),
)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), f"{page} links to {target}"


PACKAGES = {
    "core": "core/src/imagebatch",
    "api": "api/src/imagebatch_api",
    "operator": "operator/src/imagebatch_operator",
    "jobrunner": "jobrunner/src/imagebatch_jobrunner",
    "client": "client/src/imagebatch_client",
    "cli": "cli/src/imagebatch_cli",
}


def paths_of(page: str) -> list[str]:
    """Every path that a page names; one without a member is in that of the path before it in its line."""
    found = []
    for line in (ROOT / page).read_text().splitlines():
        member = ""
        for name, path in re.findall(
            r"`(?:(core|api|operator|jobrunner|client|cli): )?([\w./-]+(?:\.py|/))`", line
        ):
            if path.startswith("test_"):  # beside the one before it
                continue
            member = name or member
            in_root = (ROOT / path).exists() and not name
            found.append(path if in_root or not member else f"{PACKAGES[member]}/{path}")
    return found


@pytest.mark.parametrize(("page", "at_least"), [("ARCHITECTURE.md", 60), ("docs/assignment.md", 20)])
def test_the_paths_of_a_page_can_be_opened(page: str, at_least: int) -> None:
    paths = paths_of(page)
    assert len(paths) > at_least
    keys = {"images/"}  # on S3
    assert [path for path in paths if not (ROOT / path).exists() and path not in keys] == []


def block_of(name: str) -> list[str]:
    """The words of the command under `<!-- tested: NAME -->` in the README."""
    return shlex.split(lines_of(name, "README.md"))


def lines_of(name: str, page: str) -> str:
    """The lines under `<!-- tested: NAME -->` in a page."""
    found = re.search(rf"<!-- tested: {name} -->\n```sh\n(.+?)\n```", (ROOT / page).read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    (port,) = free_ports(1)
    async with Up(tmp_path / "data", IMAGEBATCH_EXAMPLES_PORT=str(port)) as running:
        yield running


def examples_on(port: int, name: str, folder: Path) -> Path:
    """A copy of an example whose images are served on another port, so that tests don't collide."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(
        (ROOT / "examples" / name).read_bytes().replace(EXAMPLES_PORT.encode(), str(port).encode())
    )
    return path


@pytest.mark.integration
@pytest.mark.anyio
async def test_the_upload_that_the_readme_shows_works(up: Up) -> None:
    process = await run_curl([word.replace(":8080/", f":{up.port}/") for word in block_of("upload")])
    answer = json.loads(process)
    assert (answer["status"], answer["rows"], answer["images"]) == ("pending", 28, 69)
    status = await up.until_done(answer["request_id"])
    assert status["status"] in {"complete", "failed"}


def test_a_token_made_by_hand_is_one() -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl")
    ended = subprocess.run(
        ["sh", "-c", lines_of("token by hand", "docs/kubernetes.md")],
        capture_output=True,
        text=True,
        check=True,
    )
    token, line = ended.stdout.splitlines()
    assert tokens.owner_of(tokens.parse(line), token) == "shop"


@pytest.mark.integration
@pytest.mark.anyio
async def test_the_requests_with_a_token_that_the_docs_show_work(tmp_path: Path) -> None:
    token = tokens.make()
    (tmp_path / "tokens").write_text(str(tokens.entry_of("shop", token)))
    async with Up(tmp_path / "data", IMAGEBATCH_API_TOKENS_FILE=str(tmp_path / "tokens")) as running:
        upload, status = (
            shlex.split(
                line.replace("$IMAGEBATCH_TOKEN", token)
                .replace(":8080/", f":{running.port}/")
                .replace("@products.csv", "@examples/products.csv")
            )
            for line in lines_of("token", "docs/api.md").splitlines()
        )
        refused = await running.http.get(f"/status/{status[-1].rpartition('/')[2]}")
        assert refused.status_code == 401
        answer = json.loads(await run_curl(upload))
        status[-1] = answer["status_url"]
        assert json.loads(await run_curl(status))["request_id"] == answer["request_id"]


async def run_curl(words: list[str]) -> str:
    """What curl prints; where there is no curl, the same request is made without it."""
    if shutil.which("curl") is None:
        headers = [words[at + 1].split(": ") for at, word in enumerate(words) if word == "-H"]
        async with httpx.AsyncClient(trust_env=False, headers=dict(headers)) as client:
            if "-F" not in words:
                return (await client.get(words[-1])).text
            name, path = words[words.index("-F") + 1].split("=@")
            files = {name: (Path(path).name, (ROOT / path).read_bytes())}
            return (await client.post(words[-1], files=files)).text
    process = await asyncio.create_subprocess_exec(*words, "-sS", cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    return stdout.decode()


async def run_of_readme(name: str, example: str, folder: Path, places: dict[str, Path]) -> Ended:
    """Run the command under `<!-- tested: NAME -->` on a copy of its example, with other places for files."""
    (port,) = free_ports(1)
    words = block_of(name)
    assert words.pop(0) == ".venv/bin/imagebatch"
    replaced = {f"examples/{example}": examples_on(port, example, folder), **places}
    ended = await imagebatch(
        *(replaced.get(word, word) for word in words),
        *("--errors", folder / "errors.csv", "--data", folder / "data"),
        IMAGEBATCH_EXAMPLES_PORT=str(port),
    )
    assert ended.code == 0, ended.stderr
    return ended


@pytest.mark.integration
@pytest.mark.anyio
async def test_the_export_that_the_readme_shows_comes_back(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    ended = await run_of_readme("shop", "catalogues/shopify.csv", tmp_path, {"build/shopify.csv": output})
    assert "491 of 495 images done, 4 failed" in ended.stdout
    assert output.read_text().startswith("Handle,Title,Body (HTML),")


@pytest.mark.integration
@pytest.mark.anyio
async def test_the_run_that_the_readme_shows_works(tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    places = {"build/out.csv": tmp_path / "out.csv", "build/copies": copies}
    await run_of_readme("run", "products_spreadsheet.csv", tmp_path, places)
    assert len(list(copies.iterdir())) == 30


def test_the_page_is_shown_in_each_of_its_states() -> None:
    """Light and dark, wide and narrow; `make screenshots` takes them."""
    shown = set(re.findall(r"\]\(screenshots/([\w-]+\.webp)\)", (ROOT / "docs" / "page.md").read_text()))
    assert shown == {shot.path.name for shot in screenshots.shots()}
    assert shown == {path.name for path in screenshots.FOLDER.iterdir()}
