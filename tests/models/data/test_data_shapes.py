"""Shapes of data sets: told by a process that never imports torch."""

import subprocess
import sys

from archsieve.models.data.registry import load_data
from archsieve.models.data.shapes import count_training


def test_describing_imports_no_torch() -> None:
    code = (
        "import sys; from archsieve.models.data.shapes import describe_data; print(describe_data('svhn')); "
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "DataShape(input_shape=(3, 32, 32), n_classes=10)\n"


def test_the_pictures_to_train_on_are_counted_as_they_are_loaded() -> None:
    data = load_data("digits")
    assert count_training("digits") == len(data.train) + len(data.val)
