"""Everything about one trial on the command line: results show TRIAL, as texts and as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...results.analysis.health import Finding, findings_of
from ...results.analysis.intervals import Measured, top_5_error, with_interval
from ...results.database.latency_records import LatencyRecord, measurements
from ...results.database.proxy_records import scores_of
from ...results.database.training_records import augmentation_cost, loaded_weights, lrs_found
from ...results.database.zero_shot_records import latest_test_table
from ...results.query.priors import prior_lines, priors_of
from ...results.query.trial_name import find_trial
from ...spaces.architectures.cost import LayerRow, cost, layer_costs
from ...spaces.architectures.recorded import architecture_or_none
from .output import curve_json, json_row, one_line, trial_json
from .tables import latency_line, layers_table, readable, trials_table
from .zero_shot_tables import zero_shot_trial_texts

if TYPE_CHECKING:
    from ...results.database.reader import StoreReader
    from ...results.database.records import Trial


@dataclass(frozen=True)
class TrialRecords:
    """What the database has about one trial; ``measured`` are its headline values with their intervals."""

    trial: "Trial"
    curve: Mapping[str, list[tuple[int, float]]]
    latencies: list[LatencyRecord]
    proxies: Mapping[str, float | str]
    zero_shot: Mapping[str, Any] | None
    findings: list[Finding]
    lrs: list[Any]
    augmentation: Mapping[str, Any] | None
    weights: Mapping[str, Any] | None
    layers: list[dict[str, Any]]
    tests: Mapping[str, float]
    measured: list[Measured]
    priors: Mapping[str, Any] | None


def read_records(store: "StoreReader", name: str) -> TrialRecords:
    """Read everything about the trial ``name``."""
    trial = find_trial(store, name)
    measured = (with_interval(store, trial), top_5_error(store, trial))
    return TrialRecords(
        trial=trial,
        curve=store.curve(trial.trial),
        latencies=list(measurements(store, trial.run, trial_id=trial.trial)),
        proxies=scores_of(store, trial.run, trial.fingerprint),
        zero_shot=latest_test_table(store, trial.run),
        findings=findings_of(store, trial.run, trial_id=trial.trial).get(trial.trial, []),
        lrs=lrs_found(store, trial.run, trial.trial),
        augmentation=augmentation_cost(store, trial.run, trial.trial),
        weights=loaded_weights(store, trial.run, trial.trial),
        layers=store.layers(trial.fingerprint),
        tests=store.test_metrics(trial.trial),
        measured=[one for one in measured if one is not None],
        priors=priors_of(store, trial.run),
    )


def _layer_rows(trial: "Trial") -> list[LayerRow]:
    """Return the layers of a network; none if the code of its custom blocks is not here."""
    architecture = architecture_or_none(trial.architecture)
    return [] if architecture is None else list(layer_costs(architecture))


def records_json(records: TrialRecords) -> dict[str, Any]:
    """Return the records as JSON types, with the learning curve."""
    return {
        **trial_json(records.trial),
        # the database has the layers of custom blocks, too, in fewer columns
        "layers": [row.to_json() for row in _layer_rows(records.trial)] or records.layers,
        **curve_json(records.curve),
        "measurements": [json_row(vars(row)) for row in records.latencies],
        "proxies": records.proxies,
        "findings": list(map(vars, records.findings)),
        "lrs_found": records.lrs,
        "augmentation_cost": records.augmentation,
        "weights": records.weights,
        "test_metrics": records.tests,
        "measured": [one.to_json() for one in records.measured],
        "priors": records.priors,
    }


def records_texts(records: TrialRecords) -> Iterator[str]:
    """Yield the records as texts. Those of a database from elsewhere may have any form."""
    trial, architecture = records.trial, architecture_or_none(records.trial.architecture)
    yield trials_table([trial])
    if architecture is not None:
        rows = _layer_rows(trial)
        yield from readable("the layers", lambda: [layers_table(rows, cost(architecture), "layers")])
    yield from _value_lines(trial, records.tests)
    yield from (f"validation {one}" for one in records.measured if one.value is not None)
    yield from readable("the zero-shot test", lambda: zero_shot_trial_texts(trial, records.curve, records.zero_shot))
    yield from readable("the latency", lambda: map(latency_line, records.latencies))
    yield from (f"proxy {one_line(name)}: {one_line(score)}" for name, score in records.proxies.items())
    yield from readable("the start of training", lambda: _training_lines(records))
    if (priors := records.priors) is not None:
        yield from readable("what was known before", lambda: map(one_line, prior_lines(priors)))
    yield from (f"finding {one_line(one.kind)}: {one_line(one.message)}" for one in records.findings)


def _value_lines(trial: "Trial", tests: Mapping[str, float]) -> Iterator[str]:
    """Yield the values of a trial, its recorded metrics, those of the test, and its recipe."""
    plain = {name: value for name, value in trial_json(trial).items() if not isinstance(value, dict | None)}
    recipe = {f"recipe.{name}": value for name, value in trial.recipe.items() if value is not None}
    for name, value in {**plain, **trial.metrics, **tests, **recipe}.items():
        yield f"{one_line(name)}: {one_line(value)}"


def _training_lines(records: TrialRecords) -> Iterator[str]:
    """Yield what a worker measured at the start of training: weights, learning rates, and the cost of augmentation."""
    if (weights := records.weights) is not None:
        digest = one_line(str(weights.get("sha256"))[:12])
        yield f"weights: {one_line(weights.get('file'))}, tag {one_line(weights.get('tag'))}, sha256 {digest}"
        if "crop_pct" in weights:
            resizing = f"{one_line(weights.get('interpolation'))}, crop_pct {one_line(weights.get('crop_pct'))}"
            yield f"images: {resizing}"
    for entry in records.lrs:
        yield f"lr found: {entry['lr']:g}, the first of {len(entry['tries'])} tried that trains"
    if (augmented := records.augmentation) is not None:
        yield "augmentation: {batch_ms:.3g} ms a batch of {batch_size} on {device}".format(**augmented)
