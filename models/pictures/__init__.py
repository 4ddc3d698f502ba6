"""Turns bytes into pixels: formats, decoders, geometry, and folders of pictures.

Imports nothing else of ``models``. The bytes are untrusted; decoders that may crash run in a process of their own.
"""
