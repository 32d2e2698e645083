"""Decoding and encoding: what runs in codec processes, and the pool of them that the parent holds."""
