"""What is particular to TIFF: which page of a file is its picture, and which layouts are decoded."""
