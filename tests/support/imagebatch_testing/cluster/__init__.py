"""A Kubernetes for the end-to-end tests, and what they do to it."""
