"""Keys of the HTTP gateway: made, listed and revoked on the topic ``keys``, and followed by each gateway.

Imports ``kafka``, settings and schemas; nothing of HTTP.
"""
