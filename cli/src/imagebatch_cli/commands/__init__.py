"""The commands of `imagebatch`, by topic. Each module has the words of its commands and what they do."""
