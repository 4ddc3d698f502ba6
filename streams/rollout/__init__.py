"""How model versions take over: their states on the topic ``models``, and what follows them."""
