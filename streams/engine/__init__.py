"""At-least-once delivery: messages are taken, merged by time, processed, sent, and only then committed.

The Faust workers and the sinks' workers run on it; it knows nothing of faces. The roles import it. Private API of Faust
and aiokafka is touched in ``faust_internals`` alone.
"""
