"""The row of a request as a driver knows it: read or written a short while ago."""

import time
from datetime import datetime, timedelta

from imagebatch.batch.pace import is_worth_writing
from imagebatch.records import Records, Request

ROW_LIFE_S = 60.0
"""How long the row is trusted after it was read or written: nobody else writes a pending row except by
mistake, and each write notices that.
"""


class RowChangedError(Exception):
    """Somebody else finished the request, began another attempt at it, or removed it."""


class KnownRow:
    """Writes the row where that is worth it. `request` is how the request stands, beyond what is written."""

    def __init__(self, records: Records, request: Request) -> None:
        self._records = records
        self._written_s = 0.0
        self.renew(request)

    def renew(self, request: Request) -> None:
        """Take in the row as it was read just now."""
        self.request = self._row = request
        self._known_s = time.monotonic()
        self._is_trusted = True

    def now(self) -> datetime:
        """The time by Postgres's clock, as the row's times are: a jump of this machine's does not matter."""
        return self.request.read_at + timedelta(seconds=time.monotonic() - self._known_s)

    @property
    def is_known(self) -> bool:
        """Whether `request` can be trusted; else the row is to be read, and `renew` called."""
        return self._is_trusted and time.monotonic() - self._known_s < ROW_LIFE_S

    def distrust(self) -> None:
        """Have the row read before it is used again."""
        self._is_trusted = False

    async def write(self, request: Request) -> None:
        """Take `request` for how it stands, and write the row if the change is worth it.

        Raises RowChangedError when there is no such pending row any more, and RecordsError.
        """
        self.request = request
        if not is_worth_writing(self._row, request, time.monotonic() - self._written_s):
            return
        with self._records.writes.noted():
            row = await self._records.progress(request)
        if row is None:
            raise RowChangedError
        self.renew(row)
        self._written_s = time.monotonic()
