"""The HTTP gateway: photos and frames in, answers out, for those who hold a key.

It keeps nothing but what is in Kafka and Redis, so that any number of gateways behave like one. Only
``cli`` imports it.
"""
