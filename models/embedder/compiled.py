"""Runs networks with OpenVINO, one request per thread."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.embedder import runtime


class CompiledNetwork:
    """A network that looks at one picture at a time.

    Safe to call from several threads, of which as many run at the same time as there are cores.

    Args:
        core: OpenVINO's.
        network: as OpenVINO has read it.
        half: compute in bfloat16 where the processor has instructions for it.

    Attributes:
        half: whether it computes in bfloat16.
    """

    def __init__(self, core: Any, network: Any, *, half: bool = True) -> None:
        cores = runtime.cores()
        settings = runtime.openvino_settings(core, cores, streams=cores, half=half)
        self.half = settings["INFERENCE_PRECISION_HINT"] == "bf16"
        self._compiled = core.compile_model(network, "CPU", settings)
        self._local = threading.local()

    def __call__(self, picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run the network on a picture [1, rows, columns, 3]. The thread's next call overwrites the outputs."""
        try:
            request = self._local.request
        except AttributeError:
            request = self._local.request = self._compiled.create_infer_request()
        return tuple(request.infer([picture], share_inputs=True, share_outputs=True).values())
