"""One round of removing what is no longer kept, for an administrator: what went of it, or what would go."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from imagebatch.batch.collector import Collected, Collector
from imagebatch.batch.retention import Amount
from imagebatch.batch.sweep import Sweeper, Swept


@dataclass(slots=True)
class Report:
    """What was found. `distrusted` says why no orphans were looked for, `put_off` how many batches failed."""

    is_dry_run: bool
    batches: list[Collected] = field(default_factory=list)
    orphans: dict[str, Amount] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    distrusted: str = ""
    put_off: int = 0

    @property
    def total(self) -> Amount:
        return sum((*(each.amount for each in self.batches), *self.orphans.values()), Amount())

    def add(self, found: Swept) -> None:
        if found.is_unfinished:
            self.uploads.append(found.place)
        else:
            self.orphans[found.place] = self.orphans.get(found.place, Amount()) + found.amount

    def document(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "dry_run": self.is_dry_run,
            "batches": [
                {"request_id": each.request_id, "kind": each.kind.value, **_document(each.amount)}
                for each in self.batches
            ],
            "orphans": [{"place": place, **_document(amount)} for place, amount in self.orphans.items()],
            "uploads": self.uploads,
            "orphans_kept_because": self.distrusted or None,
            "batches_put_off": self.put_off,
            "total": {**_document(self.total), "uploads": len(self.uploads)},
        }

    def lines(self) -> Iterator[str]:
        """The report for people: a line a batch and kind, then what belongs to no batch, then the sum."""
        for each in self.batches:
            yield f"{each.request_id}  {each.kind.value}  {_words(each.amount)}"
        for place, amount in self.orphans.items():
            yield f"{place}  belongs to no batch  {_words(amount)}"
        for key in self.uploads:
            yield f"{key}  upload that was never finished"
        verb = "would go" if self.is_dry_run else "removed"
        yield f"{verb}: {_words(self.total)}, {len(self.uploads)} unfinished uploads"
        if self.distrusted:
            yield f"what belongs to no batch was not looked for: {self.distrusted} (docs/retention.md)"
        if self.put_off:
            yield f"{self.put_off} batches could not be removed; see the log, and try again"


async def run(collector: Collector, sweeper: Sweeper, *, is_dry_run: bool) -> Report:
    """Remove all that is due now, or only say what is. Raises RecordsError, StoreError."""
    report = Report(is_dry_run)
    async for gone in collector.survey() if is_dry_run else collector.collect():
        if gone.amount:
            report.batches.append(gone)
    async for found in sweeper.survey() if is_dry_run else sweeper.sweep():
        report.add(found)
    report.distrusted, report.put_off = sweeper.distrusted, collector.put_off
    return report


def _document(amount: Amount) -> dict[str, int]:
    return {"objects": amount.objects, "bytes": amount.bytes}


def _words(amount: Amount) -> str:
    return f"{amount.objects} objects, {amount.bytes} bytes"
