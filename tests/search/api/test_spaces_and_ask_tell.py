"""Spaces from Python, and the searchers in a loop of one's own."""

import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import archsieve as av
from archsieve.search.searchers.registry import SEARCHERS

SPACE = av.Space(
    (3, 32, 32),
    [
        av.Conv(av.choice(16, 32)),
        av.repeat(av.Residual(av.choice(32, 64)), av.choice(1, 2, 3)),
        av.GlobalAverage(),
    ],
    classes=10,
)
BUDGET = av.Budget(params="200k", macs="200M")


def test_a_space_is_counted_and_sampled_inside_its_budget():
    counted = av.count(SPACE, BUDGET)
    assert (int(counted), counted.exact) == (11, True)
    assert int(av.count(SPACE)) == 12
    drawn = av.sample(SPACE, BUDGET, n=20, seed=1)
    assert drawn == av.sample(SPACE, BUDGET, n=20, seed=1)
    assert all(av.cost(one).params <= 200_000 and av.cost(one).macs <= 200_000_000 for one in drawn)
    assert len({one.fingerprint for one in drawn}) > 5
    assert int(av.count("mixed", av.Budget(params="60k", macs="6M"))) > 100


def test_wrong_arguments_are_refused_with_what_was_given():
    with pytest.raises(TypeError, match="int"):
        av.count(3)
    with pytest.raises(ValueError, match="-1"):
        av.sample(SPACE, BUDGET, n=-1)
    with pytest.raises(ValueError, match="params <= 200k"):
        av.count(av.ConstrainedSpace(SPACE, BUDGET), BUDGET)
    with pytest.raises(av.BudgetError):
        av.sample(SPACE, av.Budget(params=10), n=1)
    with pytest.raises(ValueError, match="resnet18"):
        av.cost("resnet-18")
    with pytest.raises(TypeError, match="float"):
        av.cost(1.5)


def test_costs_and_profiles_agree():
    assert (av.cost("resnet18").params, av.cost("resnet18").macs) == (11_689_512, 1_814_073_344)
    built = av.profile("resnet18")
    assert (built.params, built.macs) == (11_689_512, 1_814_073_344)
    assert av.profile("timm:resnet18").params == 11_689_512
    own = av.profile(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), (3, 8, 8))
    assert (own.params, own.macs) == (112, 4 * 27 * 36)
    with pytest.raises(ValueError, match="input_shape"):
        av.profile(nn.Identity())
    network = av.build(av.sample(SPACE, BUDGET)[0], seed=0)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("searcher", ["gp", "tpe", "evolution", "nsga2", "random", "grid"])
def test_a_loop_of_ones_own_gets_each_architecture_once_and_finds_the_best(searcher):
    loop = av.ask_tell(SPACE, BUDGET, searcher=searcher, seed=3, direction="minimize")
    values = {}
    while (trial := loop.ask()) is not None and len(values) < 11:
        assert trial.architecture.fingerprint not in values
        values[trial.architecture.fingerprint] = av.cost(trial.architecture).params
        loop.tell(trial, values[trial.architecture.fingerprint])
    assert len(values) == 11
    best, value = loop.best
    assert value == min(values.values()) == av.cost(best.architecture).params


def test_the_same_seed_and_values_give_the_same_trials():
    def asked(seed):
        loop = av.ask_tell(SPACE, BUDGET, {"lr": av.Range(0.01, 1, log=True)}, searcher="tpe", seed=seed)
        trials = []
        for _ in range(6):
            trials.append(loop.ask())
            loop.tell(trials[-1], trials[-1].recipe.lr)
        return [(trial.architecture, trial.recipe, trial.seed) for trial in trials]

    assert asked(0) == asked(0)
    assert asked(0) != asked(1)


def test_a_pickled_loop_continues_with_the_same_trials():
    loop = av.ask_tell(SPACE, BUDGET, {"lr": av.Range(0.01, 1, log=True)}, searcher="gp", seed=2)
    for _ in range(4):
        trial = loop.ask()
        loop.tell(trial, trial.recipe.lr)
    copy = pickle.loads(pickle.dumps(loop))
    assert copy.best == loop.best
    arguments = (SPACE, BUDGET, {"lr": av.Range(0.01, 1, log=True)})
    restored = av.ask_tell(*arguments, searcher="gp", seed=2)
    restored.load_state_dict(json.loads(json.dumps(loop.state_dict())))
    assert restored.best == loop.best
    first, second, third = loop.ask(), copy.ask(), restored.ask()
    assert first == second == third
    running = av.ask_tell(*arguments, searcher="gp", seed=2)
    running.load_state_dict(loop.state_dict())  # with a trial that has no value yet
    running.tell(4, 2.0)
    assert running.best[1] == 2.0
    with pytest.raises(ValueError, match=r"seed.*2.*3"):
        av.ask_tell(*arguments, seed=3).load_state_dict(loop.state_dict())
    smaller = {"params": min(trial.architecture.cost.params for trial in (first, loop.best[0]))}
    with pytest.raises(ValueError, match=r"trial \d of the state"):
        av.ask_tell(SPACE, smaller, arguments[2], seed=2).load_state_dict(loop.state_dict())


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (lambda state: [1], r"state.*seed.*list"),
        (lambda state: {"seed": 0}, r"without direction, trials"),
        (lambda state: state | {"trials": [{"seed": 0}]}, r"trial 0 of the state.*without architecture"),
        (lambda state: state | {"trials": [another_space_state()]}, r"trial 0 of the state.*space 'custom'"),
    ],
)
def test_a_state_of_another_kind_or_space_changes_nothing(change, facts):
    loop = av.ask_tell(SPACE, BUDGET)
    loop.tell(loop.ask(), 0.5)
    before = loop.state_dict()
    with pytest.raises(ValueError, match=facts):
        loop.load_state_dict(change(before))
    assert loop.state_dict() == before


def another_space_state():
    loop = av.ask_tell(av.Space((3, 32, 32), [av.Conv(av.choice(3, 5)), av.GlobalAverage()], classes=10))
    loop.tell(loop.ask(), 0.5)
    return loop.state_dict()["trials"][0]


def test_a_value_may_be_a_number_of_numpy_or_torch_and_nan_is_a_failure():
    loop = av.ask_tell(SPACE, BUDGET)
    for value in (np.float32(0.5), torch.tensor(0.75), np.array(0.25), float("nan")):
        loop.tell(loop.ask(), value)
    trial, best = loop.best
    assert (type(best), best, trial.number) == (float, 0.75, 1)
    assert [row["value"] for row in loop.state_dict()["trials"]] == [0.5, 0.75, 0.25, None]
    assert set(trial.choices) == set(loop.ask().choices)


def test_the_metric_gives_the_direction():
    assert av.ask_tell(SPACE, BUDGET, metric="log_loss").direction == "minimize"
    assert av.ask_tell(SPACE, BUDGET, metric="f1_macro", direction="maximize").direction == "maximize"
    with pytest.raises(ValueError, match=r"log_loss.*minimize.*maximize"):
        av.ask_tell(SPACE, BUDGET, metric="log_loss", direction="maximize")
    with pytest.raises(ValueError, match=r"'f1_macr'.*'f1_macro'"):
        av.ask_tell(SPACE, BUDGET, metric="f1_macr")


def test_values_of_any_size_keep_their_order():
    loop = av.ask_tell(SPACE, BUDGET, searcher="random", direction="maximize")
    for value in (-1e9, float("-inf"), -3.5, None, float("nan"), 7e5, 7e5 + 1):
        loop.tell(loop.ask(), value)
    assert loop.best[1] == 7e5 + 1
    assert loop.best[0].number == 6
    for direction, best in (("maximize", 1e12 + 1), ("minimize", 1e12)):
        loop = av.ask_tell(SPACE, BUDGET, searcher="random", direction=direction)
        for value in (1e12, 1e12 + 1):
            loop.tell(loop.ask(), value)
        assert loop.best[1] == best


def test_a_loop_learns_from_the_state_of_another_loop_and_from_runs(tmp_path):
    def trained(loop, n):
        for _ in range(n):
            trial = loop.ask()
            loop.tell(trial, -trial.architecture.cost.params)
        return loop

    earlier = trained(av.ask_tell(SPACE, BUDGET, searcher="random", seed=1), 8)
    state = earlier.state_dict()
    arguments = {"budget": BUDGET, "warm_start": [state], "prior": "none"}
    loop = av.ask_tell(SPACE, **arguments)
    first = loop.ask()
    sizes = sorted({av.cost(one).params for one in av.sample(SPACE, BUDGET, n=60)})
    assert first.architecture.cost.params in sizes[:2]  # without the state it is the largest
    assert av.ask_tell(SPACE, BUDGET, prior="none").ask().architecture.cost.params == sizes[-1]
    loop.save(tmp_path / "loop.json")
    again = av.ask_tell(SPACE, **arguments)
    again.load(tmp_path / "loop.json")
    assert pickle.loads(pickle.dumps(loop)).ask() == again.ask() == loop.ask()
    with pytest.raises(ValueError, match=r"missing\.json"):
        again.load(tmp_path / "missing.json")
    for path, problem in ((tmp_path / "missing" / "loop.json", "missing' is missing"), (tmp_path, "is a folder")):
        with pytest.raises(ValueError, match=rf"save\(\) needs a file.*{problem}"):
            again.save(path)
    with pytest.raises(ValueError, match=r"4 finished trials.*'state 0' has 2"):
        av.ask_tell(SPACE, BUDGET, warm_start=[trained(av.ask_tell(SPACE, BUDGET), 2).state_dict()])
    for wrong in (["earlier"], "earlier", "all", 5, None):
        with pytest.raises(ValueError, match=r"warm_start must be a list .*database"):
            av.ask_tell(SPACE, BUDGET, warm_start=wrong)
    with pytest.raises(ValueError, match=r"trials of warm_start: state 0 must be a list, but is 5"):
        av.ask_tell(SPACE, BUDGET, warm_start=[{**state, "trials": 5}])
    with pytest.raises(ValueError, match=r"'gp'.*'random'"):
        av.ask_tell(SPACE, **arguments, searcher="random")
    with pytest.raises(ValueError, match=r"prior.*'nothing'"):
        av.ask_tell(SPACE, BUDGET, prior="nothing")


class Careless(av.Searcher):
    """Proposes the largest network, again and again."""

    def ask(self, history, rng):
        return self.propose(SPACE.architecture({"1.conv.width": 1, "2.times": 2, "2.residual.width": 1}), av.Recipe())


def test_a_careless_searcher_of_a_user_is_stopped(monkeypatch):
    monkeypatch.setitem(SEARCHERS, "careless", Careless)
    with pytest.raises(ValueError, match=r"200k.*careless"):
        av.ask_tell(SPACE, BUDGET, searcher="careless").ask()
    loop = av.ask_tell(SPACE, searcher="careless")
    loop.ask()
    with pytest.raises(ValueError, match=r"repeat.*careless"):
        loop.ask()


def test_a_limit_on_latency_needs_workers():
    for call in (av.count, av.sample, av.ask_tell):
        with pytest.raises(ValueError, match=r"latency_ms=0\.5"):
            call(SPACE, av.Budget(latency_ms=0.5))


def test_several_trials_may_be_out_and_each_is_told_once():
    loop = av.ask_tell(SPACE, BUDGET, searcher="gp")
    first, second = loop.ask(), loop.ask()
    assert first.architecture != second.architecture
    assert loop.best is None
    loop.tell(second.number, 0.5)
    assert loop.best == (second, 0.5)
    with pytest.raises(ValueError, match=r"trial 1 .*0\.5"):
        loop.tell(second, 0.6)
    with pytest.raises(ValueError, match="2"):
        loop.tell(2, 0.1)
    with pytest.raises(ValueError, match="maximise"):
        av.ask_tell(SPACE, BUDGET, direction="maximise")
    with pytest.raises(ValueError, match="evolution"):
        av.ask_tell(SPACE, BUDGET, searcher="evoluton")
    with pytest.raises(av.BudgetError):
        av.ask_tell(SPACE, av.Budget(params=10))


def test_ask_tell_searches_several_objectives():
    objectives = ["value", "params", "latency_ms"]

    def loop():
        return av.ask_tell("mixed", {"params": "60k", "macs": "6M"}, objectives=objectives, prior="none")

    def tell(tuner, n):
        for _ in range(n):
            trial = tuner.ask()
            cost = trial.architecture.cost
            tuner.tell(trial, 1 - 1 / cost.params, latency_ms=cost.macs / 1e6)

    whole, part = loop(), loop()
    tell(whole, 12)
    tell(part, 7)
    resumed = loop()
    resumed.load_state_dict(json.loads(json.dumps(part.state_dict())))
    tell(resumed, 5)
    assert resumed.state_dict() == whole.state_dict()  # the same seed and values give the same trials
    front = whole.front
    # more parameters are the better value here, so that no trial beats another one but equally large ones
    assert [value for _, value in front] == sorted((value for _, value in front), reverse=True)
    assert len({trial.architecture.fingerprint for trial, _ in front}) == len(front) >= 10
    with pytest.raises(ValueError, match=r"tell\(\) takes latency_ms exactly where it is an objective"):
        whole.tell(whole.ask(), 0.5)


@pytest.mark.parametrize("objectives", [["value"], ["value", "accuracy"], "value", ["value", "val_accuracy"]])
def test_objectives_of_ask_tell_that_cannot_work_are_refused(objectives):
    with pytest.raises(ValueError, match=r"objectives of ask_tell\(\) must be two or more of value, params"):
        av.ask_tell("mixed", objectives=objectives)
