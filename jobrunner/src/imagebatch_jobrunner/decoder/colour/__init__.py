"""Colours: pixel modes and colour spaces, and how they become what can be encoded and shown."""
