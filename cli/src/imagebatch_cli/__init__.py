"""The `imagebatch` command, and the local system behind `imagebatch up`."""
