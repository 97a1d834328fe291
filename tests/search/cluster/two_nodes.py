"""Prepare stored images on two nodes of a local cluster: ``two_nodes.py FOLDER CACHE``. It prints what happens."""

import sys
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from archsieve.models.data.registry import load_data
from archsieve.models.storage.choice import StorageOptions
from archsieve.search.cluster.errors import ResourceError
from archsieve.search.cluster.node_data import prepare_nodes


def main(folder: Path, cache: Path) -> None:
    stored = load_data("images", path=folder, image_size=12, storage=StorageOptions("cache", str(cache)))
    memory = load_data("images", path=folder, image_size=12)
    cluster = Cluster(initialize_head=True, connect=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    try:
        for file in cache.iterdir():
            file.unlink()
        print("stopped", prepare_nodes([stored.train.images], lambda: False))
        print("prepared", prepare_nodes([split.images for split in stored.splits], lambda: True))
        print("files", sorted(file.suffix for file in cache.iterdir()))
        for file in cache.iterdir():
            file.unlink()
        folder.rename(folder.with_name("elsewhere"))
        print("memory", prepare_nodes([split.images for split in memory.splits], lambda: True))
        try:
            prepare_nodes([split.images for split in stored.splits], lambda: True)
        except ResourceError as error:
            print("error", error)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
