"""How files are built of parts: JPEG's segments, PNG's and WebP's chunks, AVIF's boxes, TIFF's directories.

One parser a container; nothing is decoded here.
"""
