"""The image formats, one file each: what is particular to a format, and nothing else, stands there.

A file is loaded because the table in `imagebatch_jobrunner.formats` names it. What a file may say of its
format are the fields of `format.Format`.
"""
