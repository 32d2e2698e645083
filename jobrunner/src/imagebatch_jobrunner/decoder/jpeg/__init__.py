"""What is particular to JPEG: making one smaller without its pixels, and whether one is complete."""
