"""The role drift: whether a camera still shows, and a model still makes of it, what it did."""
