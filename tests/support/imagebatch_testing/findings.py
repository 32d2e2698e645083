"""What a test of faults found, for docs/reliability.md: `python docs/make_reliability.py` collects it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

VARIABLE = "IMAGEBATCH_FINDINGS"
"""Names the file that findings are added to; without it nobody wants them."""

Finding = Callable[..., None]


def reporter(test: str) -> Finding:
    """A function that notes what was done to a program in `test`, how often, and what that cost."""

    def report(what: str, *, times: int, links: int, lost: int, again: int) -> None:
        path = os.environ.get(VARIABLE)
        if path:
            line = {"what": what, "times": times, "links": links, "lost": lost, "again": again, "test": test}
            with Path(path).open("a") as file:
                file.write(json.dumps(line) + "\n")

    return report
