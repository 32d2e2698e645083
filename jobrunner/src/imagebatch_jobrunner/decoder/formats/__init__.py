"""The image formats that are decoded, one file each."""
