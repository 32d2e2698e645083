"""`python -m imagebatch_jobrunner`: end at once when stopped while still starting, then run the program.

The first process of a container gets no signal that it has no handler for: without this one, a pod that is
stopped in its first second would go on until it is killed, half a minute later.
"""

import os
import signal

TERMINATED = 143

signal.signal(signal.SIGTERM, lambda *_: os._exit(TERMINATED))

if __name__ == "__main__":
    import gc
    import sys
    from typing import Any, cast

    # structlog and httpx load these for people's terminals, where the command line has them installed; a
    # shard has no terminal, and they take an eighth of all its imports' time. None says: not installed.
    cast("dict[str, Any]", sys.modules).update(click=None, rich=None)
    gc.disable()  # nothing of what is imported is garbage, and looking for it takes a tenth of that time
    from imagebatch_jobrunner.main import main  # only now: these imports take their time

    gc.freeze()
    gc.enable()
    sys.exit(main())
