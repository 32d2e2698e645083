"""The compressor of ImageBatch: does one shard of a batch and exits.

::

    __main__ ── process ─┬─ shard_input   which links
                         ├─ image         one link: fetch, compress, put
                         │    ├─ download.fetch (hosts, budget)   the network, in this process
                         │    └─ codec.pool ══ socket ══ codec ── compress
                         └─ progress      how far

The parent process does the network and never decodes; the codec processes decode and know no secret.
"""
