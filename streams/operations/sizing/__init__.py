"""How large a cluster must be, from measured parts: pure arithmetic and a simulation, without Kafka.

``parts`` holds what was measured, ``demand`` what is wanted, ``plan`` the answer, and ``scaling`` a simulation of
workers.
"""
