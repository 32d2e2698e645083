"""HTTP/1.1 to hosts that strangers name. `imagebatch.net.transport` puts the parts together behind httpx.

| module | owns |
|---|---|
| `dial` | from a host's name to an open socket: look-up, check, race of the addresses, TLS |
| `wire` | the bytes of one socket: what waits, who waits, when reading stops |
| `head` | the head of an answer: how it is mended, how large it may be |
| `connection` | one connection: a request out, its answer back through h11 |
| `pool` | which connections are open, and which are kept for the next request |
| `exchange` | one request: which connection it uses, and when it is sent again |
| `request` | what of an httpx request is sent, and its time limits |
| `encoding` | gzip and deflate of bodies |
| `cookies` | the cookies of one chain of redirects |
| `status` | which statuses may change later |
"""
