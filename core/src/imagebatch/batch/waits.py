"""Why a batch waits, where that is the driver's own doing."""

from imagebatch.batch.lifecycle import Waiting

SUSPENDED = Waiting("Suspended", "spec.suspend is true; set it to false to go on")
STOPPING = Waiting("Stopping", "what runs is being stopped")
SOURCE_QUEUED = Waiting("Queued", "other sources are being read; this one has its turn after them")
MERGE_QUEUED = Waiting("Queued", "other batches are being merged; this one has its turn after them")
