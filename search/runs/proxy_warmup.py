"""The warm-up: many untrained candidates ranked by a proxy, the best of which are initial designs of the run."""

import logging
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...results.database.proxy_records import Scored, record_warm_up, warmed_up
from ...results.database.store import Store
from ...spaces.architectures.architecture import Architecture
from ...spaces.architectures.cost import cost, layer_costs
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.indexing import walk
from ...spaces.constrained.sampling import count, sample_one
from ..cluster.remote_jobs import run_remote_jobs
from ..experiment.experiment import Experiment

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData

log = logging.getLogger("archsieve")
JOB_SIZE = 16  # candidates of one remote job
MAX_DRAWS = 20  # draws for each candidate before fewer have to do


def warm_up(
    experiment: Experiment,
    sieve: ConstrainedSpace,
    data: "ImageData",
    store: Store,
    run_id: int,
    *,
    go_on: Callable[[], bool],
) -> list[Architecture]:
    """Return the designs of the warm-up that the experiment asks for, best first; none where ``go_on`` returned False.

    Candidates are scored once in a run, on its workers, and kept in the store: a resumed run trains the same ones.
    """
    settings = experiment.file.search.warmup
    if settings is None:
        return []
    best = warmed_up(store, run_id)
    if best is None:
        scored = _scored(sieve, experiment, data, go_on)
        if scored is None:
            return []
        warn_of_none(settings.proxy, scored)
        best = record_warm_up(store, run_id, settings.proxy, scored, settings.train)
    # fewer where a resumed run is on GPUs with less memory than those that the candidates were drawn for
    return [one for one in map(Architecture.from_json, best) if sieve.allows(one)]


def _scored(
    sieve: ConstrainedSpace, experiment: Experiment, data: "ImageData", go_on: Callable[[], bool]
) -> list[Scored] | None:
    from ...models.diagnostics.zero_cost_proxies import probe

    search, resources = experiment.file.search, experiment.file.resources
    assert search.warmup is not None
    found = candidates(sieve, search.warmup.candidates, search.seed, go_on)
    if found is None:
        return None
    parts = [[one.to_json() for one in found[place : place + JOB_SIZE]] for place in range(0, len(found), JOB_SIZE)]
    names = sorted({search.warmup.proxy, *search.proxies})
    shared = (names, probe(data, search.seed), resources.cpus_per_trial, resources.gpus)
    told = run_remote_jobs(score_networks, parts, shared, resources, go_on=go_on)
    if told is None:
        return None
    return [
        Scored(
            architecture=one.to_json(),
            fingerprint=one.fingerprint,
            cost=cost(one, sieve.batch_size).to_json(),
            layers=[row.to_json() for row in layer_costs(one)],
            scores=scores,
        )
        for one, scores in zip(found, (scores for part in told for scores in part), strict=True)
    ]


def candidates(sieve: ConstrainedSpace, n: int, seed: int, go_on: Callable[[], bool]) -> list[Architecture] | None:
    """``n`` different architectures inside the budget, drawn by ``seed``, or all; None where ``go_on`` says no."""
    if count(sieve).high <= n:
        return [architecture for _, architecture in walk(sieve)]
    rng = random.Random(f"warm-up {seed}")
    found: dict[str, Architecture] = {}
    for _ in range(MAX_DRAWS * n):
        if len(found) == n:
            break
        if not go_on():
            return None
        one = sample_one(sieve, rng)
        found.setdefault(one.fingerprint, one)
    return list(found.values())


def warn_of_none(proxy: str, scored: Sequence[Scored]) -> None:
    """Say so where the proxy has a score for none: the searcher begins as if there were no warm-up."""
    said = [one.scores[proxy] for one in scored]
    if said and not any(isinstance(score, float) for score in said):
        log.warning(
            "search.warmup: %s scores none of the %d candidates (%s), so none is trained first; take another proxy",
            *(proxy, len(said), said[0]),
        )


def score_networks(architectures: list[dict[str, Any]], shared: Any) -> list[dict[str, float | str]]:
    """What proxies say of untrained networks, on the worker that runs this."""
    from ...models.diagnostics.zero_cost_proxies import proxy_scores
    from ..cluster.threads import set_up_worker

    names, probe, cpus, gpus = shared
    there = probe.to(set_up_worker(cpus, gpus))
    return [proxy_scores(names, Architecture.from_json(one), there) for one in architectures]
