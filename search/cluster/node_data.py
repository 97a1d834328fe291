"""The images on the nodes of a cluster: each builds its own cache file, from files that it sees, before the trials."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...spaces.parameters.user_code import first_line
from .errors import ResourceError
from .ray_runtime import POLL_S, live_nodes, remote_function

if TYPE_CHECKING:
    from ...models.storage.images import Images, StoredImages

MAX_NAMED = 3  # nodes in an error message


def prepare_nodes(images: Sequence["Images"], should_continue: Callable[[], bool]) -> None:
    """Make ``images`` readable on every node that has CPUs; nothing to do for images in memory, or with one node.

    Args:
        images: the images of the splits.
        should_continue: called several times a second, because building a cache takes minutes. When it returns False,
            the preparation is cancelled.

    Raises:
        ResourceError: when a node lacks the images; the message names the nodes.
    """
    from ...models.storage.images import StoredImages, TensorImages

    stored = [one for one in images if isinstance(one, StoredImages) and not isinstance(one, TensorImages)]
    nodes = [node for node in live_nodes() if node["Resources"].get("CPU")]
    if not stored or len(nodes) < 2:  # the driver has prepared its own machine
        return
    results = _on_nodes(stored, nodes, should_continue)
    if failed := [f"{host}: {error}" for host, error in results if error]:
        more = f"; and {len(failed) - MAX_NAMED} more" if len(failed) > MAX_NAMED else ""
        raise ResourceError(
            f"every node must be able to read the images, but {len(failed)} of {len(nodes)} cannot: "
            f"{'; '.join(failed[:MAX_NAMED])}{more}; put the images on a path that all nodes see, or use "
            'data.storage = "memory", which sends them to the nodes'
        )


def _on_nodes(
    stored: Sequence["StoredImages"], nodes: Sequence[Any], should_continue: Callable[[], bool]
) -> list[tuple[str, str | None]]:
    """Return (host, error) of each node; an empty list when cancelled."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    shared, runs = ray.put(list(stored)), []
    for node in nodes:
        affinity = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        runs.append(remote_function(_prepare, 0).options(num_cpus=0, scheduling_strategy=affinity).remote(shared))
    pending = runs
    while pending:
        if not should_continue():
            for run in runs:
                ray.cancel(run)
            return []
        _, pending = ray.wait(pending, num_returns=len(pending), timeout=POLL_S)
    return [(node["NodeManagerHostname"], _result(run)) for node, run in zip(nodes, runs, strict=True)]


def _result(run: Any) -> str | None:
    import ray

    try:
        error: str | None = ray.get(run)
    except ray.exceptions.RayError as lost:
        return first_line(lost)
    return error


def _prepare(stored: Sequence["StoredImages"]) -> str | None:
    """Prepare the images on this node; return the message of the error, if there is one."""
    try:
        for images in stored:
            images.prepare()
    except Exception as error:
        return str(error) or type(error).__name__
    return None
