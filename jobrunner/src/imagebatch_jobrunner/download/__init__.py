"""Downloading images politely, within bounds of time and memory."""
