"""The kopf operator: runs ImageBatch objects as Indexed Jobs."""
