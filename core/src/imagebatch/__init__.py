"""The domain of ImageBatch, shared by the API, the operator, the jobrunner and the command line."""
