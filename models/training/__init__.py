"""Trains model versions on aligned faces: training sets, losses, the distributed loop, and the gate."""
