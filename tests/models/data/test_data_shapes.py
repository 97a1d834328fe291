"""Shapes of data sets, described by a process that does not import torch."""

import subprocess
import sys

from archsieve.models.data.registry import load_data
from archsieve.models.data.shapes import count_training_images


def test_describe_data_does_not_import_torch() -> None:
    code = (
        "import sys; from archsieve.models.data.shapes import describe_data; print(describe_data('svhn')); "
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "DataShape(input_shape=(3, 32, 32), n_classes=10)\n"


def test_count_training_agrees_with_the_loaded_data() -> None:
    data = load_data("digits")
    assert count_training_images("digits") == len(data.train) + len(data.val)
