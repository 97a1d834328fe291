"""One Ray for the whole session."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ray_running():
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    from archsieve.search.cluster.ray_runtime import quiet

    with quiet(Path(os.devnull)):
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield ray
        ray.shutdown()
