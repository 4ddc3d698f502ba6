"""A fast analyzer for tests and benchmarks, which makes vectors from the digest of a picture.

It is not a face model, and is used only with the embedder ``digest``.
"""
