"""The reference model: its card, dlib's own outputs to compare the port with, and the scripts that made both."""
