"""Releases: `make version VERSION=` writes the version, `make release VERSION=` builds from the commit."""
