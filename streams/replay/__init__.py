"""Replay: events of the past sent through the live workers again, beside their results or to correct them."""
