"""How a command ends; docs/cli.md describes it."""

COMPLETE = 0
FAILED = 1
"""The batch failed, or something did not do its part."""

REFUSED = 2
"""What the user gave can't be used, or the command was misused."""

INTERRUPTED = 130
