"""The fields of an upload: collected as they come, from the query and the form, then read as one."""

import re
from collections.abc import Iterable
from dataclasses import replace

from imagebatch import webhook_address
from imagebatch.batch.lifecycle import Desired
from imagebatch.batch.plan import DEFAULT_ROWS_PER_SHARD
from imagebatch.batch.retention import FORM_FIELDS, KeepDays
from imagebatch.batch.spec import BatchSpec
from imagebatch.csv import columns
from imagebatch.csv.columns import ColumnOptions
from imagebatch.errors import InputRefusedError, Problem
from imagebatch.net.guard import AddressPolicy
from imagebatch.options import OPTION_NAMES, Compression
from imagebatch_api.form import FILE_FIELD, ContentType, FormLimits, check_length, shown

WEBHOOK = "webhook_url"
ENCODING = "encoding"
ROWS_PER_SHARD = "rowsPerShard"
NUMBERS = {
    ROWS_PER_SHARD: (1, 100_000),
    "parallelism": (1, 1_000),
    "maxFailedPercent": (0, 100),
    "deadlineSeconds": (1, 31_536_000),
}
"""The whole numbers, with their bounds."""

NAMES = (WEBHOOK, ENCODING, *columns.OPTION_NAMES, *OPTION_NAMES, *NUMBERS, *FORM_FIELDS)
NEEDED_FIRST = frozenset({ENCODING, *columns.OPTION_NAMES, ROWS_PER_SHARD})
"""What is needed while the file is read, and so has to come before it."""


class Fields:
    """What one upload asks for. A field that is left empty counts as not given."""

    def __init__(self, query: Iterable[tuple[str, str]], limits: FormLimits) -> None:
        self._values: dict[str, str] = {}
        self._limits = limits
        self._file_seen = False
        for name, value in query:
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        """Take a field. Raises InputRefusedError for one that is unknown, given before or too late."""
        if name not in NAMES:
            known = ", ".join((FILE_FIELD, *NAMES))
            raise InputRefusedError.of("unknown_field", f"there is no field {shown(name)}; known are {known}")
        check_length(name, len(value.encode()), self._limits.max_field_bytes)
        if name in self._values:
            raise InputRefusedError.of("duplicate_field", f"{name}: given more than once")
        if self._file_seen and name in NEEDED_FIRST and value.strip():
            raise InputRefusedError.of(
                "field_after_file",
                f"{name}: needed while the file is read; put it before the file, or in the URL as ?{name}=…",
            )
        self._values[name] = value

    def begin_file(self) -> None:
        """Note that the file begins. Raises InputRefusedError when it is not the first one."""
        if self._file_seen:
            raise InputRefusedError.of(
                "duplicate_field", f"{FILE_FIELD}: given more than once; upload one CSV"
            )
        self._file_seen = True

    @property
    def file_seen(self) -> bool:
        return self._file_seen

    @property
    def webhook_url(self) -> str | None:
        return self._given(WEBHOOK)

    def encoding(self, content_type: ContentType) -> str | None:
        """The declared encoding of the file: by field, or by the charset of its type; None for none."""
        charset = "" if content_type.charset in {"ascii", "us-ascii"} else content_type.charset
        return self._given(ENCODING) or charset or None

    def batch_spec(self, policy: AddressPolicy) -> BatchSpec:
        """What the batch is to do. Raises InputRefusedError with everything that is wrong."""
        problems: list[Problem] = []
        compression = self._compression(problems)
        named = self._columns(problems)
        numbers = {name: self._number(name, problems) for name in NUMBERS}
        keep = self._keep(problems)
        self._check_webhook(policy, problems)
        if problems:
            raise InputRefusedError(problems)
        return replace(_spec(named, compression, numbers), keep=keep)

    def _compression(self, problems: list[Problem]) -> Compression:
        given = {name: value for name in OPTION_NAMES if (value := self._given(name)) is not None}
        try:
            return Compression.parse(given)
        except InputRefusedError as error:
            problems += error.problems
            return Compression()

    def _columns(self, problems: list[Problem]) -> ColumnOptions:
        try:
            return ColumnOptions.parse({name: self._given(name) for name in columns.OPTION_NAMES})
        except InputRefusedError as error:
            problems += error.problems
            return columns.UNDECLARED

    def _keep(self, problems: list[Problem]) -> KeepDays:
        given = {name: value for name in FORM_FIELDS if (value := self._given(name)) is not None}
        try:
            return KeepDays.of_form(given)
        except InputRefusedError as error:
            problems += error.problems
            return KeepDays()

    def _number(self, name: str, problems: list[Problem]) -> int | None:
        low, high = NUMBERS[name]
        text = self._given(name)
        if text is None:
            return None
        if re.fullmatch(r"[0-9]{1,9}", text) and low <= int(text) <= high:
            return int(text)
        message = f"{name}: {shown(text)} is not a whole number from {low} to {high}"
        problems.append(Problem("invalid_option", message))
        return None

    def _check_webhook(self, policy: AddressPolicy, problems: list[Problem]) -> None:
        try:
            if self.webhook_url is not None:
                webhook_address.check_url(self.webhook_url, policy)
        except InputRefusedError as error:
            problems += error.problems

    def _given(self, name: str) -> str | None:
        return self._values.get(name, "").strip() or None


def _spec(named: ColumnOptions, compression: Compression, numbers: dict[str, int | None]) -> BatchSpec:
    default = Desired()
    parallelism, failed = numbers["parallelism"], numbers["maxFailedPercent"]
    return BatchSpec(
        columns=named,
        compression=compression,
        rows_per_shard=numbers[ROWS_PER_SHARD] or DEFAULT_ROWS_PER_SHARD,
        desired=Desired(
            parallelism=parallelism or default.parallelism,
            max_failed_percent=default.max_failed_percent if failed is None else failed,
            deadline_seconds=numbers["deadlineSeconds"],
        ),
    )
