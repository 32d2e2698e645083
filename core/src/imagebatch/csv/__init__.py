"""The CSVs: which are read, and what they come to; what is written beside them at the end."""
