"""The compressor of ImageBatch: does one shard of a batch and exits.

::

    main ── shard_run ─┬─ shard_input   which links
                       ├─ fair_queue    in which order
                       ├─ backlog       how many at once
                       ├─ image         one link: fetch, compress, put
                       │    ├─ download.fetch (hosts, budget)   the network, in this process
                       │    └─ codec.pool ══ socket ══ decoder ── compress   in codec processes
                       ├─ checkpoint    what is stored already
                       └─ progress      how far

The parent process does the network and never decodes; the codec processes run `decoder` and know no secret.
"""
