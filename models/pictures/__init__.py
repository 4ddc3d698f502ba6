"""Bytes to pixels: formats, decoders, geometry, and folders of pictures.

Imports nothing else of ``models``. Bytes are untrusted; decoders that crash run in a process of their own.
"""
