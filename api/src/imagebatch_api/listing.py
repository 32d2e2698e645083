"""GET /batches: the caller's batches, newest first, a page at a time."""

from dataclasses import dataclass

from starlette.datastructures import QueryParams

from imagebatch.csv import report_page
from imagebatch.errors import InputRefusedError, Problem

STATUSES = ("pending", "complete", "failed")
DEFAULT_LIMIT = 20
MAX_LIMIT = 100


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What a list is asked for. `choice` is the value of its filter."""

    limit: int
    after: str | None
    choice: str | None


@dataclass(frozen=True, slots=True)
class PageRules:
    """What a list may be asked for: pages of `max_limit`, and one of `choices` by the parameter `filter`."""

    default_limit: int
    max_limit: int
    filter: str
    choices: tuple[str, ...]

    def read(self, query: QueryParams) -> PageQuery:
        """Read the query. Raises InputRefusedError with everything that is wrong."""
        problems: list[Problem] = []
        known = ("limit", "after", self.filter)
        for name in dict(query):
            if name not in known:
                problems.append(invalid(name, f"there is no such parameter; known are {', '.join(known)}"))
            elif len(query.getlist(name)) > 1:
                problems.append(invalid(name, "given more than once"))
        limit, choice = self._limit(query, problems), query.get(self.filter)
        if choice is not None and choice not in self.choices:
            problems.append(invalid(self.filter, f"is one of {', '.join(self.choices)}"))
        if problems:
            raise InputRefusedError(problems)
        return PageQuery(limit, query.get("after"), choice)

    def _limit(self, query: QueryParams, problems: list[Problem]) -> int:
        text = query.get("limit", str(self.default_limit))
        is_number = text.isascii() and text.isdigit() and len(text) < 10
        if is_number and 1 <= int(text) <= self.max_limit:
            return int(text)
        problems.append(invalid("limit", f"is a whole number from 1 to {self.max_limit}"))
        return self.default_limit


BATCHES = PageRules(DEFAULT_LIMIT, MAX_LIMIT, "status", STATUSES)
IMAGES = PageRules(report_page.DEFAULT_LIMIT, report_page.MAX_LIMIT, "outcome", report_page.OUTCOMES)


def invalid(name: str, message: str) -> Problem:
    return Problem("invalid_parameter", f"{name[:100]}: {message}")
