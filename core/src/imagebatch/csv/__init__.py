"""The CSVs: how an upload becomes the canonical CSV, and what is written when a batch ends."""
