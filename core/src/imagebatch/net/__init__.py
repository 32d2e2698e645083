"""HTTP to hosts that strangers name: each address is checked where it is dialled, each answer bounded.

`transport` has the client that everybody uses, `guard` the rule which addresses are open, `http` the
connections, limits and encodings between the two.
"""
