"""How files are built of parts: JPEG's segments, PNG's and RIFF's chunks, ISO boxes, TIFF's directories.

One parser a container, for all that reads or changes such a file; nothing is decoded here. The containers
of GIF, PSD, BMP and ICO are read by one format alone and stand in its file.
"""
