"""A batch on its way: what is wanted of it, what to do next, who runs its shards, and how it ends.

`BatchDriver` observes, decides by `lifecycle.next_step` and carries out; an `Executor` runs the shards.
"""
