"""Runs TensorFlow Lite models with LiteRT, with one interpreter per thread."""

from __future__ import annotations

import threading

import numpy as np
from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]
from numpy.typing import NDArray

from models.embedder.runtime import without_chatter

Floats = NDArray[np.float32]


class LiteModel:
    """A model with one picture as input. Safe to call from several threads."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._local = threading.local()
        with without_chatter():
            self._interpreter()

    def __call__(self, picture: Floats) -> tuple[Floats, ...]:
        """Run the model on a picture [1, size, size, 3]. The outputs are copies."""
        interpreter = self._interpreter()
        interpreter.set_tensor(self._local.input, picture)
        interpreter.invoke()
        return tuple(interpreter.get_tensor(index) for index in self._local.outputs)

    def _interpreter(self) -> Interpreter:
        try:
            return self._local.interpreter
        except AttributeError:
            interpreter = Interpreter(model_content=self._content, num_threads=1)
            interpreter.allocate_tensors()
            self._local.input = interpreter.get_input_details()[0]["index"]
            self._local.outputs = [output["index"] for output in interpreter.get_output_details()]
            self._local.interpreter = interpreter
            return interpreter
