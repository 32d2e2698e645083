"""What the environment says to a jobrunner. Read once, in `main`."""

import json
import os
import secrets
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from imagebatch.batch.shard import ShardId, indexes_of
from imagebatch.errors import InputRefusedError
from imagebatch.net.transport import PROJECT_URL, user_agent
from imagebatch.options import Compression
from imagebatch.settings import NetworkSettings, S3Settings
from imagebatch.storage import keys
from imagebatch.storage.keys import InputKeys
from imagebatch_jobrunner.limits import CodecLimits, FetchLimits, PictureLimits

_MIB = 1024 * 1024


def _compression(value: object) -> Compression:
    if isinstance(value, Compression):
        return value
    try:
        given = json.loads(value) if isinstance(value, str | bytes) else value
        if not isinstance(given, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - pydantic reports ValueError
        return Compression.parse(given)
    except (json.JSONDecodeError, InputRefusedError) as error:
        raise ValueError(str(error)) from None


def _cores() -> int:
    """The cores that this process may use, not those that the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run() -> str:
    return f"p{os.getpid()}-{secrets.token_hex(4)}"


def _described(description: str, *, at_least: float = 1) -> object:
    return Field(description=description, ge=at_least)


class JobrunnerSettings(S3Settings, NetworkSettings):
    """Which shard to do, how, and within which limits."""

    request_id: Annotated[str, Field(min_length=1, description="The batch.")]
    attempt: Annotated[int, _described("The attempt at the batch, from 1.")] = 1
    completion_index: Annotated[
        int,
        Field(
            ge=0,
            validation_alias="JOB_COMPLETION_INDEX",
            description="Which of the shards to do, from 0; an Indexed Job sets it.",
        ),
    ]
    shards: Annotated[
        str,
        Field(
            pattern=r"^([0-9]{1,6}(-[0-9]{1,6})?(,[0-9]{1,6}(-[0-9]{1,6})?)*)?$",
            description="The shards that are to be done, as in `0-2,7`, when they are not all of the batch.",
        ),
    ] = ""
    run: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9-]{1,64}$",
            description="What tells this run from others of the same shard: the pod's uid, or made up.",
            default_factory=_run,
        ),
    ]
    compression: Annotated[
        Compression,
        NoDecode,
        BeforeValidator(_compression),
        Field(description="How to compress: a JSON object by the option names of the object's spec."),
    ] = Compression()

    plan_key: Annotated[
        str, Field(description="The batch's plan on S3, where it has not the plain name.")
    ] = ""
    input_key: Annotated[
        str, Field(description="The batch's canonical CSV on S3, where it has not the plain name.")
    ] = ""
    plan_url: Annotated[
        SecretStr, Field(description="A signed link to plan.json, when the S3 key may not read it.")
    ] = SecretStr("")
    input_url: Annotated[
        SecretStr, Field(description="A signed link to input.csv, when the S3 key may not read it.")
    ] = SecretStr("")
    user_agent_url: Annotated[
        str,
        Field(
            max_length=500,
            pattern=r"^[!-~]*$",
            description="Where hosts learn who asks them for images: a page or `mailto:` of yours. It "
            "stands in the User-Agent, `ImageBatch/VERSION (+URL)`.",
        ),
    ] = PROJECT_URL
    user_agent: Annotated[
        str,
        Field(
            max_length=500,
            pattern=r"^[ -~]*$",
            description="The whole User-Agent instead, for hosts that know another name.",
        ),
    ] = ""
    max_image_bytes: Annotated[int, _described("The largest file that is downloaded, in bytes.")] = 50 * _MIB
    max_pixels: Annotated[int, _described("The most pixels of a picture, or of a frame.")] = 64_000_000
    max_animation_pixels: Annotated[int, _described("The most pixels of all frames of an animation.")] = (
        100_000_000
    )
    max_frames: Annotated[int, _described("The most frames of an animation.")] = 1000
    image_seconds: Annotated[
        float, _described("The time for one download, with its redirects and retries.", at_least=0.1)
    ] = 60.0
    connect_seconds: Annotated[float, _described("The time to connect to a host.", at_least=0.1)] = 10.0
    connections: Annotated[int, _described("The most downloads at the same time.")] = 32
    per_host_connections: Annotated[
        int,
        _described(
            "The most downloads at the same time from one host, of all the batch's shards together; each "
            "shard gets an equal part, and at least one."
        ),
    ] = 16
    parallelism: Annotated[
        int,
        _described("How many shards run at once. The operator and the local system say so."),
    ] = 1
    bytes_in_flight: Annotated[
        int, _described("The most bytes of images in memory, from download to upload.")
    ] = 256 * _MIB
    codec_seconds: Annotated[
        float,
        _described("The time to decode and encode one image, then its process is killed.", at_least=0.1),
    ] = 30.0
    codec_processes: Annotated[
        int,
        Field(
            ge=1,
            description="The processes that decode and encode; by default one a core that this one may use.",
            default_factory=_cores,
        ),
    ]
    codec_memory_bytes: Annotated[
        int, _described("The address space of a codec process, in bytes.", at_least=256 * _MIB)
    ] = 3072 * _MIB
    picture_bytes_in_flight: Annotated[
        int, _described("The most memory that pictures take at once, in all codec processes, in bytes.")
    ] = 1792 * _MIB
    nice: Annotated[int, Field(ge=0, le=19, description="How far codec processes give way to others.")] = 10
    store_connections: Annotated[int, _described("The most requests to S3 at the same time.")] = 16
    progress_seconds: Annotated[
        float, _described("The least time between two progress objects.", at_least=0)
    ] = 5.0
    progress_images: Annotated[
        int, _described("The least number of images between two progress objects.", at_least=0)
    ] = 25
    stop_on_stdin_eof: Annotated[
        bool,
        Field(description="End as by SIGTERM when standard input closes, so that a dead supervisor ends it."),
    ] = False
    termination_log: Annotated[
        str, Field(description="A file that gets one line on why it failed, if it exists and is writable.")
    ] = "/dev/termination-log"
    log_level: Annotated[
        str, Field(pattern="^(debug|info|warning|error)$", description="What is logged.")
    ] = "info"

    @model_validator(mode="after")
    def _has_a_shard(self) -> Self:
        if self.shards and self.completion_index >= len(indexes_of(self.shards)):
            raise ValueError(f"JOB_COMPLETION_INDEX is {self.completion_index}; the shards are {self.shards}")
        return self

    @property
    def shard_id(self) -> ShardId:
        index = self.completion_index
        shard = indexes_of(self.shards)[index] if self.shards else index
        return ShardId(self.request_id, self.attempt, shard)

    @property
    def keys_of_input(self) -> InputKeys:
        plain = keys.input_of_upload(self.request_id, "")
        return InputKeys(self.input_key or plain.canonical, self.plan_key or plain.plan)

    @property
    def signed_links(self) -> dict[str, str]:
        """The objects that are read with a signed link, by key."""
        given = {
            self.keys_of_input.plan: self.plan_url.get_secret_value(),
            self.keys_of_input.canonical: self.input_url.get_secret_value(),
        }
        return {key: link for key, link in given.items() if link}

    @property
    def named(self) -> str:
        """The User-Agent."""
        return self.user_agent.strip() or user_agent(self.user_agent_url)

    @property
    def picture_limits(self) -> PictureLimits:
        return PictureLimits(
            max_pixels=self.max_pixels,
            max_animation_pixels=self.max_animation_pixels,
            max_frames=self.max_frames,
            memory_bytes=self.picture_bytes_in_flight,
        )

    @property
    def fetch_limits(self) -> FetchLimits:
        return FetchLimits(
            max_bytes=self.max_image_bytes,
            total_s=self.image_seconds,
            connect_s=self.connect_seconds,
            connections=self.connections,
            per_host=max(1, self.per_host_connections // self.parallelism),
        )

    @property
    def codec_limits(self) -> CodecLimits:
        return CodecLimits(
            processes=self.codec_processes,
            seconds=self.codec_seconds,
            memory_bytes=self.codec_memory_bytes,
            picture_bytes=self.picture_bytes_in_flight,
            nice=self.nice,
        )
