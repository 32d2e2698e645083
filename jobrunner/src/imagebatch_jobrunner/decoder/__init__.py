"""What decodes and encodes the pictures that strangers made. It runs in codec processes alone.

`python -m imagebatch_jobrunner.decoder` is such a process; `imagebatch_jobrunner.codec` starts it and
checks its answers. Nothing outside this folder imports it, or Pillow: a contract in pyproject.toml holds
that.
"""
