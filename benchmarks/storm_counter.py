"""A plug-in of the storm that changes nothing: it counts the epochs that workers have computed, in a file.

The count does not depend on what the search records. Each line is: run, trial, epoch.
"""

import importlib.abc
import importlib.util
import os
import sys
from pathlib import Path

_MODULE = "archsieve.search.trials.trainable"


def count(trainable):
    """Make ``trainable``, the class of trials, count each epoch that it has computed."""
    original = trainable.step

    def step(self):
        fit = self.fit
        if fit is not None and not hasattr(fit, "storm_counted"):
            train, fit.storm_counted = fit.step, True
            run, _, trial = Path(self.checkpoint_dir.url).parts[-3:]

            def counted():
                result = train()
                line = f"{run} {trial} {fit.epoch}\n".encode()
                descriptor = os.open(os.environ["STORM_COUNTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                os.write(descriptor, line)  # one call, so that lines of several workers do not mix
                os.close(descriptor)
                return result

            fit.step = counted
        return original(self)

    trainable.step = step


class Hook(importlib.abc.MetaPathFinder):
    """Counts from the import of the module of trials on: this plug-in must not import torch and Ray itself."""

    def find_spec(self, name, path, target=None):
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            count(module.NetworkTrial)

        spec.loader.exec_module = exec_module
        return spec


if _MODULE in sys.modules:
    count(sys.modules[_MODULE].NetworkTrial)
else:
    sys.meta_path.insert(0, Hook())
