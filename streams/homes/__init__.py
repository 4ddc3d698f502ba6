"""Home folders of ``facestream up``: what runs in which, on which ports, and in what state.

Reads and writes small files only; everything above may import it.
"""
