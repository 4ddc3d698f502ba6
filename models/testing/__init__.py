"""A fast analyzer for tests and load: it knows a picture by its digest.

No model of faces; only used where somebody asks for the embedder ``digest``.
"""
