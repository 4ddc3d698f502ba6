"""At-least-once delivery: messages are taken in order for each user, processed, sent, and only then committed.

The Faust workers and the sinks' workers run on it; it knows nothing of faces. The roles import it. Private API of Faust
and aiokafka is touched in ``faust_internals`` alone.
"""
