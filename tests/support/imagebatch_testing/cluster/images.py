"""The images of the own cluster, built by buildah into a store of our own in the cache.

Nothing is pulled: the base is a small Debian with Python, made by debootstrap. Everything that mounts runs
in a mount and process namespace of its own, so that not even a kill leaves anything behind.
"""

import configparser
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagebatch_testing.cluster import programs
from imagebatch_testing.cluster.command import run
from imagebatch_testing.cluster.layout import MEMBERS, REPOSITORY, cache, digest, digest_of_files

SUITE = "trixie"
PACKAGES = ("ca-certificates", "python3", "python3-venv")
NEEDLESS = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
)
BASE_FILE = """\
FROM scratch
ADD base.tar /
ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8
CMD ["python3"]
"""
PAUSE_FILE = """\
FROM scratch
COPY pause /pause
USER 65535:65535
ENTRYPOINT ["/pause"]
"""
DEBOOTSTRAP_S = 900.0
BUILD_S = 900.0
MANY_IMAGES = 200
PIP_CONFIGURATION = Path("/etc/pip.conf")
ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_FORGETFUL = """\
mkdir -p /var/lib/containers
mount -t tmpfs none /var/lib/containers
mount -t tmpfs none "$0"
"$@"
status=$?
umount /var/lib/containers
rmdir /var/lib/containers 2>/dev/null
exit $status
"""
"""What buildah notes about its mounts, and in the machine's own store, ends with the command."""


@dataclass(frozen=True, slots=True)
class Image:
    """A built image. The tag derives from the content, so a new tag means new content."""

    name: str
    id: str

    @property
    def reference(self) -> str:
        return f"localhost/imagebatch-{self.name}:{self.id[:12]}"


def build_all() -> dict[str, Image]:
    """The images of the three members, and of the pause between."""
    _prune()
    base = _base()
    return {"pause": _pause()} | {member: _member(member, base) for member in MEMBERS}


def export(image: Image) -> list[str]:
    """The command that writes an image to its output, as an archive without compression."""
    return _buildah_command("push", "--quiet", image.id, f"docker-archive:/dev/stdout:{image.reference}")


def _prune() -> None:
    """Forget layers of old builds when they have become many; the next build takes a minute again."""
    if len(_buildah("images", "--quiet", "--all").split()) > MANY_IMAGES:
        _buildah("rmi", "--prune", "--force")


def _base() -> str:
    """The reference of the base image."""
    recipe = digest(SUITE, *PACKAGES, *NEEDLESS, BASE_FILE)
    reference = f"localhost/imagebatch-base:{recipe}"
    if not _exists(reference):
        with _scratch("base") as context:
            _debootstrap(context / "root", context / "base.tar")
            _build(context, BASE_FILE, reference)
    return reference


def _debootstrap(root: Path, tar: Path) -> None:
    include = ",".join(PACKAGES)
    run(
        *ALONE,
        "debootstrap",
        "--variant=minbase",
        f"--include={include}",
        SUITE,
        root,
        timeout_s=DEBOOTSTRAP_S,
    )
    for path in NEEDLESS:
        shutil.rmtree(root / path)
        (root / path).mkdir()
    run("tar", "--numeric-owner", "--exclude=./dev/*", "-C", root, "-cf", tar, ".", timeout_s=BUILD_S)


def _pause() -> Image:
    program = programs.pause().build()
    inputs = digest(PAUSE_FILE, str(program))
    known = _known("pause", inputs)
    if known is None:
        with _scratch("pause") as context:
            shutil.copy(program, context / "pause")
            known = _build(context, PAUSE_FILE, "localhost/imagebatch-pause:e2e")
        _remember("pause", inputs, known)
    return Image("pause", known)


def _member(member: str, base: str) -> Image:
    """Built unless nothing of what it is made from has changed."""
    sources = [
        REPOSITORY / name for name in ("core", member, f"requirements/{member}.txt", "requirements/build.txt")
    ]
    inputs = digest(base, digest_of_files(*sources, REPOSITORY / ".dockerignore"))
    known = _known(member, inputs)
    if known is None:
        known = _bud(
            "--layers", "--build-arg", f"BASE={base}", "--file", REPOSITORY / member / "Dockerfile",
            *_pip_configuration(), "--tag", f"localhost/imagebatch-{member}:e2e", REPOSITORY,
        )  # fmt: skip
        _remember(member, inputs, known)
    return Image(member, known)


def _pip_configuration() -> list[str]:
    """How pip reaches its registry from this machine, if it needs to be told: read-only, for the build only."""
    if not PIP_CONFIGURATION.exists():
        return []
    configuration = configparser.ConfigParser()
    configuration.read(PIP_CONFIGURATION)
    certificates = configuration.get("global", "cert", fallback="")
    shared = [str(PIP_CONFIGURATION), *([certificates] if certificates else [])]
    return [word for path in shared for word in ("--volume", f"{path}:{path}:ro")]


def _build(context: Path, containerfile: str, reference: str) -> str:
    file = context / "Containerfile"
    file.write_text(containerfile)
    return _bud("--file", file, "--tag", reference, context)


def _bud(*words: str | Path) -> str:
    """The id of what was built."""
    with _scratch("id") as folder:
        _buildah("bud", "--isolation", "chroot", "--quiet", "--iidfile", folder / "id", *words)
        return (folder / "id").read_text().strip().removeprefix("sha256:")


def _exists(reference: str) -> bool:
    return bool(_buildah("images", "--quiet", "--filter", f"reference={reference}").strip())


def _buildah(*words: str | Path) -> str:
    return run(*_buildah_command(*words), timeout_s=BUILD_S)


def _buildah_command(command: str | Path, *words: str | Path) -> list[str]:
    store, notes, policy = (_folder() / name for name in ("store", "run", "policy.json"))
    notes.mkdir(exist_ok=True)
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    signatures = ["--signature-policy", policy] if command in {"bud", "push"} else []
    buildah = ["buildah", "--root", store, "--runroot", notes, "--storage-driver", "overlay"]
    return [*ALONE, "sh", "-c", _FORGETFUL, *map(str, [notes, *buildah, command, *signatures, *words])]


def _known(name: str, inputs: str) -> str | None:
    """The id of the image that was built from these inputs before."""
    try:
        known: dict[str, str] = json.loads((_folder() / f"{name}.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return known.get("id") if known.get("inputs") == inputs else None


def _remember(name: str, inputs: str, image_id: str) -> None:
    (_folder() / f"{name}.json").write_text(json.dumps({"inputs": inputs, "id": image_id}))


@contextmanager
def _scratch(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=_folder()) as folder:
        yield Path(folder)


def _folder() -> Path:
    folder = cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
