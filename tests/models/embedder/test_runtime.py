"""How TensorFlow is imported."""

from __future__ import annotations

import subprocess
import sys
import threading
from importlib import import_module
from importlib.util import find_spec

import pytest

from models.embedder.runtime import _first_import


def test_what_keras_does_not_need_is_hidden_only_from_the_thread_that_imports_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    found = []
    with _first_import():
        with pytest.raises(ModuleNotFoundError):
            import_module("sklearn")
        other = threading.Thread(target=lambda: found.append(find_spec("sklearn")))
        other.start()
        other.join()
    assert found[0] is not None
    assert find_spec("sklearn") is not None


@pytest.mark.long
def test_tensorflow_is_imported_without_scikit_learn_and_matplotlib() -> None:
    program = """
import sys
from models.embedder import runtime
runtime.tensorflow()
print(sorted({"sklearn", "matplotlib"} & set(sys.modules)))
import keras, sklearn.metrics, matplotlib.pyplot
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
