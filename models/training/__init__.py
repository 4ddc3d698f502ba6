"""Learning from aligned faces: data, losses, the distributed loop, and the gate before a new version."""
