"""A training worker whose processor is two devices to TensorFlow, as a machine with two GPUs has: RUN OLD_VERSION."""

from __future__ import annotations

import sys

from models.embedder import runtime
from models.training import worker

if __name__ == "__main__":
    tf = runtime.tensorflow(1)
    cpu, two = tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    worker.main([*sys.argv[1:3], "0", "1", "1"])
