"""Begins a transaction, has a message in the log, and dies: open_transaction.py ADDRESS TOPIC."""

import os
import signal
import sys

import confluent_kafka

producer = confluent_kafka.Producer(
    {"bootstrap.servers": sys.argv[1], "transactional.id": sys.argv[2], "transaction.timeout.ms": 8_000}
)
producer.init_transactions(60)
producer.begin_transaction()
producer.produce(sys.argv[2], b"never", b"user", 0)
if producer.flush(60):
    sys.exit("the message was not taken")
os.kill(os.getpid(), signal.SIGKILL)
