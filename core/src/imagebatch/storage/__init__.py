"""Objects on S3: their keys, and how they are stored and read."""
