"""The warm-up: rank many untrained candidates by a zero-cost proxy; the best become initial designs of the run."""

import logging
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...results.database.proxy_records import ScoredArchitecture, record_warm_up, selected_candidates
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
JOB_SIZE = 16  # candidates per remote job
MAX_DRAWS_PER_CANDIDATE = 20  # then the warm-up continues with fewer candidates


def warm_up(
    experiment: Experiment,
    constrained: ConstrainedSpace,
    data: "ImageData",
    store: Store,
    run_id: int,
    *,
    should_continue: Callable[[], bool],
) -> list[Architecture]:
    """Return the best candidates of the experiment's warm-up, best first; none if it has no warm-up.

    The candidates are scored once per run, on its workers, and stored, so that a resumed run trains the same ones. The
    result is also empty when ``should_continue`` returned False in the meantime.
    """
    settings = experiment.file.search.warmup
    if settings is None:
        return []
    best = selected_candidates(store, run_id)
    if best is None:
        scored = _score_candidates(constrained, experiment, data, should_continue)
        if scored is None:
            return []
        warn_if_unscored(settings.proxy, scored)
        best = record_warm_up(store, run_id, settings.proxy, scored, settings.train)
    # A resumed run may have GPUs with less memory than the run had when the candidates were drawn.
    return [one for one in map(Architecture.from_json, best) if constrained.allows(one)]


def _score_candidates(
    constrained: ConstrainedSpace, experiment: Experiment, data: "ImageData", should_continue: Callable[[], bool]
) -> list[ScoredArchitecture] | None:
    from ...models.diagnostics.zero_cost_proxies import probe

    search, resources = experiment.file.search, experiment.file.resources
    assert search.warmup is not None
    architectures = candidates(constrained, search.warmup.candidates, search.seed, should_continue)
    if architectures is None:
        return None
    starts = range(0, len(architectures), JOB_SIZE)
    parts = [[one.to_json() for one in architectures[start : start + JOB_SIZE]] for start in starts]
    names = sorted({search.warmup.proxy, *search.proxies})
    shared = (names, probe(data, search.seed), resources.cpus_per_trial, resources.gpus)
    results = run_remote_jobs(score_networks, parts, shared, resources, should_continue=should_continue)
    if results is None:
        return None
    return [
        ScoredArchitecture(
            architecture=one.to_json(),
            fingerprint=one.fingerprint,
            cost=cost(one, constrained.batch_size).to_json(),
            layers=[row.to_json() for row in layer_costs(one)],
            scores=scores,
        )
        for one, scores in zip(architectures, (scores for part in results for scores in part), strict=True)
    ]


def candidates(
    constrained: ConstrainedSpace, n: int, seed: int, should_continue: Callable[[], bool]
) -> list[Architecture] | None:
    """Draw ``n`` different architectures within the budget, by ``seed``; a smaller space is returned whole.

    Returns None when ``should_continue`` returns False.
    """
    # Drawing without repetition from a space that is hardly larger than n would need a huge number of draws.
    if count(constrained).high <= n:
        return [architecture for _, architecture in walk(constrained)]
    rng = random.Random(f"warm-up {seed}")
    drawn: dict[str, Architecture] = {}
    for _ in range(MAX_DRAWS_PER_CANDIDATE * n):
        if len(drawn) == n:
            break
        if not should_continue():
            return None
        one = sample_one(constrained, rng)
        drawn.setdefault(one.fingerprint, one)
    return list(drawn.values())


def warn_if_unscored(proxy: str, scored: Sequence[ScoredArchitecture]) -> None:
    """Warn when the proxy has no score for any candidate: the search then runs as without a warm-up."""
    scores = [one.scores[proxy] for one in scored]  # a reason as text in place of a missing score
    if scores and not any(isinstance(score, float) for score in scores):
        log.warning(
            "search.warmup: %s has no score for any of the %d candidates (%s), so no candidate is trained first; use "
            "another proxy",
            *(proxy, len(scores), scores[0]),
        )


def score_networks(architectures: list[dict[str, Any]], shared: Any) -> list[dict[str, float | str]]:
    """Score untrained networks with zero-cost proxies on this worker.

    Args:
        architectures: the networks as JSON.
        shared: names of the proxies, the probe batch, cores and GPUs of this worker.

    Returns:
        For each network a score per proxy, or the reason why there is none.
    """
    from ...models.diagnostics.zero_cost_proxies import proxy_scores
    from ..cluster.threads import set_up_worker

    names, probe, cpus, gpus = shared
    probe = probe.to(set_up_worker(cpus, gpus))
    return [proxy_scores(names, Architecture.from_json(one), probe) for one in architectures]
