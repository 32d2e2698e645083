"""HTTP/1.1 to hosts that strangers name: dialling, connections, their pool, content encodings.

`imagebatch.net.transport` puts the parts together behind httpx's API; nobody else dials for strangers.
"""
