"""The kopf operator: reconciles ImageBatch objects by Indexed Jobs. Its package is still a shell."""
