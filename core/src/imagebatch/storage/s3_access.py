"""Who may read and write a bucket, and by which link: credentials, the public links, the bucket's policy."""

from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import (
    AWSConfigProvider,
    ChainedProvider,
    EnvAWSProvider,
    IamAwsProvider,
    Provider,
    StaticProvider,
)

from imagebatch.errors import AccessDeniedError, SettingsError
from imagebatch.settings import S3Settings
from imagebatch.storage import keys
from imagebatch.storage.s3_writer import SDK_ERRORS

TIMEOUT = urllib3.Timeout(connect=5, read=30)


def http_pool(connections: int, retries: int) -> urllib3.PoolManager:
    """Retries with growing pauses, for lost connections and for answers that may change later."""
    statuses = [429, 500, 502, 503, 504]
    retry = urllib3.Retry(total=retries, backoff_factor=0.2, backoff_jitter=0.2, status_forcelist=statuses)
    return urllib3.PoolManager(maxsize=connections, block=False, timeout=TIMEOUT, retries=retry)


def client_for(settings: S3Settings, http: urllib3.PoolManager) -> Minio:
    """The SDK's client for the settings' bucket. Raises SettingsError for an endpoint that is none."""
    endpoint = urlsplit(settings.s3_endpoint)
    if endpoint.scheme not in {"http", "https"} or not endpoint.netloc or endpoint.path not in {"", "/"}:
        raise SettingsError(
            f"IMAGEBATCH_S3_ENDPOINT: {settings.s3_endpoint!r} is not a URL such as https://s3.example.com"
        )
    client = Minio(
        endpoint.netloc,
        region=settings.s3_region,
        secure=endpoint.scheme == "https",
        credentials=_credentials(settings),
        http_client=http,
    )
    if settings.s3_addressing == "virtual":
        client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    elif settings.s3_addressing == "path":
        client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    return client


def read_policy(bucket: str) -> dict[str, object]:
    """The bucket policy that lets anonymous clients read images and output CSVs, and list nothing.

    An image's key has a hyphen and a dot; a folder's has none, and some servers answer for folders too.
    """
    resources = [
        f"arn:aws:s3:::{bucket}/{keys.IMAGES}*-*.*",
        f"arn:aws:s3:::{bucket}/{keys.CSV_FILES}*{keys.OUTPUT_SUFFIX}",
    ]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ImageBatchPublicRead",
                "Effect": "Allow",
                "Principal": "*",
                "Action": ["s3:GetObject"],
                "Resource": resources,
            }
        ],
    }


def link_base(settings: S3Settings) -> str:
    """The URL under which clients find the bucket's keys, with no slash at its end. Raises SettingsError."""
    if settings.s3_public_url:
        if "," in settings.s3_public_url or urlsplit(settings.s3_public_url).scheme not in {
            "http",
            "https",
        }:
            raise SettingsError("IMAGEBATCH_S3_PUBLIC_URL must be an http(s) URL without a comma")
        return settings.s3_public_url.rstrip("/")
    endpoint = urlsplit(settings.s3_endpoint)
    if endpoint.hostname == "s3.amazonaws.com":
        return f"https://{settings.s3_bucket}.s3.{settings.s3_region}.amazonaws.com"
    is_aws = (endpoint.hostname or "").endswith(".amazonaws.com")
    if settings.s3_addressing == "virtual" or (is_aws and settings.s3_addressing == "auto"):
        return f"{endpoint.scheme}://{settings.s3_bucket}.{endpoint.netloc}"
    return f"{endpoint.scheme}://{endpoint.netloc}/{settings.s3_bucket}"


def _credentials(settings: S3Settings) -> Provider:
    if settings.s3_access_key:
        return StaticProvider(
            settings.s3_access_key,
            settings.s3_secret_key.get_secret_value(),
            settings.s3_session_token.get_secret_value() or None,
        )
    return _AwsChain()


class _AwsChain(Provider):
    """The AWS chain, with an error of ours when no link of it has credentials."""

    def __init__(self) -> None:
        self._chain = ChainedProvider([EnvAWSProvider(), AWSConfigProvider(), IamAwsProvider()])

    def retrieve(self) -> Credentials:
        try:
            return self._chain.retrieve()
        except (ValueError, *SDK_ERRORS) as error:
            raise AccessDeniedError(
                f"no S3 credentials: set IMAGEBATCH_S3_ACCESS_KEY and IMAGEBATCH_S3_SECRET_KEY, or give "
                f"the program an AWS identity ({error})"
            ) from error
