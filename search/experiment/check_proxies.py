"""The check of the zero-cost proxies and the warm-up of a search."""

from ...spaces.parameters.lookup import unknown
from ..config.search_section import SearchSection


def check_proxies(search: SearchSection) -> None:
    """Raise ``ValueError`` for an unknown proxy, or a warm-up that trains more networks than there are."""
    warmup = search.warmup
    if not search.proxies and warmup is None:
        return
    from ...models.diagnostics.zero_cost_proxies import PROXIES  # imports torch: only where it is needed

    named = [("search.proxies", name) for name in search.proxies]
    for key, name in [*named, *([("search.warmup.proxy", warmup.proxy)] if warmup else [])]:
        if name not in PROXIES:
            raise ValueError(f"{key}: {unknown('proxy', name, PROXIES)}")
    limit = min(search.trials, warmup.candidates) if warmup else 0
    if warmup and warmup.train > limit:
        raise ValueError(
            f"search.warmup.train must be at most search.trials and search.warmup.candidates, but got {warmup.train} "
            f"with {search.trials} trials and {warmup.candidates} candidates; lower it to {limit}"
        )
