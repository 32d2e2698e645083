"""HTTP to hosts that strangers name: each address is checked where it is dialled, each answer bounded."""
