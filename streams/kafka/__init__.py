"""Connections to Kafka: clients, topics, offsets, consumer groups, and readers and writers of logs.

The only code that makes Kafka clients. Imports nothing else of ``streams`` but settings, roles and text; every other
folder may import it.
"""
