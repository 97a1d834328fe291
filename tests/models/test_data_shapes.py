"""Shapes of data sets: told by a process that never imports torch."""

import subprocess
import sys


def test_describing_imports_no_torch() -> None:
    code = (
        "import sys; from archsieve.models.data_shapes import describe_data; print(describe_data('svhn')); "
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "DataShape(input_shape=(3, 32, 32), n_classes=10)\n"
