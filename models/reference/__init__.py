"""The reference model: its card, dlib's own outputs to hold the port to, and the scripts that made both."""
