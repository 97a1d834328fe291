"""Arguments of the public functions: a wrong type is one sentence that names the argument and an example."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import archsieve as av
from archsieve.results.query.pareto import pareto

SPACE = av.Space((1, 8, 8), [av.Conv(av.choice(4, 8)), av.GlobalAverage()], classes=10)


@pytest.mark.parametrize(
    ("arguments", "error", "facts"),
    [
        ({"file": 3}, TypeError, ("file", "3", "int", "'search.toml'")),
        ({"data": 3}, TypeError, ("data", "3", "int", "'digits'")),
        ({"data": ["a", "b"]}, TypeError, ("data", "list")),
        ({"image_size": "64"}, TypeError, ("image_size", "'64'", "str", "64")),
        ({"image_size": 0, "data": "digits"}, ValueError, ("image_size", "at least 1", "0")),
        ({"space": 3}, TypeError, ("space", "3", "int", "'mixed'")),
        ({"space": SPACE.blocks}, TypeError, ("space", "tuple", "'mixed'")),
        ({"budget": 5}, TypeError, ("budget", "5", "int", "'60k'")),
        ({"budget": "60k"}, TypeError, ("budget", "'60k'", "str", "params")),
        ({"recipe": "x"}, TypeError, ("recipe", "'x'", "str", "epochs")),
        ({"trials": "5"}, TypeError, ("trials", "'5'", "str", "50")),
        ({"trials": 2.5}, TypeError, ("trials", "2.5", "float")),
        ({"trials": True}, TypeError, ("trials", "True", "bool")),
        ({"trials": 0}, ValueError, ("trials", "at least 1", "0")),
        ({"searcher": av.Searcher}, TypeError, ("searcher", "Searcher", "'gp'")),
        ({"seed": -1}, ValueError, ("seed", "-1")),
        ({"settings": ["a"]}, TypeError, ("settings", "list")),
        ({"settings": {3: 4}}, TypeError, ("settings", "{3: 4}")),
        ({"data": np.zeros((9, 8, 8))}, TypeError, ("data", "ndarray")),
        ({"metric": lambda labels, scores: 1.0}, ValueError, ("metric", "lambda", "def")),
        ({"record_metrics": "f1_makro"}, ValueError, ("search.record_metrics", "'f1_makro'", "'f1_macro'")),
        ({"plugins": ["a b"]}, ValueError, ("plugins.modules", "'a b'")),
        ({"loss": nn.CrossEntropyLoss}, ValueError, ("train.loss", "CrossEntropyLoss", "class")),
        ({"train": nn.Linear}, ValueError, ("train.function", "Linear", "class")),
        ({"name": 3}, TypeError, ("name", "3")),
        ({"plugins": 3}, TypeError, ("plugins", "3", "'my_blocks'")),
        ({"plugins": [re]}, TypeError, ("plugins", "module", "'my_blocks'")),
        ({"runs": 3}, TypeError, ("runs", "3")),
        ({"database": 3}, TypeError, ("database", "3", "archsieve.db")),
        ({"address": 6379}, TypeError, ("address", "6379", "HOST:PORT")),
        ({"top": "all"}, TypeError, ("top", "'all'")),
        ({"callbacks": print}, TypeError, ("callbacks", "print", "list of functions")),
        ({"callbacks": [3]}, TypeError, ("callbacks", "3")),
    ],
)
def test_a_wrong_argument_of_a_search_is_one_sentence(arguments, error, facts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        av.run_search(**arguments)
    message = str(caught.value)
    assert message.startswith(facts[0])
    assert all(fact in message for fact in facts), message
    assert "\n" not in message
    assert not [*tmp_path.iterdir()]


def tell(value):
    loop = av.ask_tell(SPACE)
    loop.tell(loop.ask(), value)


@pytest.mark.parametrize(
    ("call", "fact"),
    [
        (lambda: av.resume_search(3), "run"),
        (lambda: av.resume_search("r", trials="5"), "trials"),
        (lambda: av.open_results(3), "database"),
        (lambda: av.load_model(3), "path"),
        (lambda: av.train(1, seeds="3"), "seeds"),
        (lambda: av.train_architecture("resnet18", "digits", recipe="x"), "recipe"),
        (lambda: av.ensemble(3), "run"),
        (lambda: av.ask_tell(SPACE, recipe="x"), "recipe"),
        (lambda: av.ask_tell(SPACE, seed="x"), "seed"),
        (lambda: av.count(SPACE, 5), "budget"),
        (lambda: av.import_trials([1], data="digits"), "list"),
        (lambda: tell("0.9"), "str"),
        (lambda: tell(torch.zeros(2)), "Tensor"),
        (lambda: tell([0.9]), "list"),
        (lambda: pareto([], "val_accuracy"), "objectives"),
    ],
)
def test_other_functions_name_the_argument_too(call, fact, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=rf"\b{fact}\b") as caught:
        call()
    assert "\n" not in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_a_budget_may_be_a_mapping_everywhere():
    assert int(av.count(SPACE, {"params": 120})) == 1
    assert av.sample(SPACE, {"params": 120}, n=2)[0].cost.params <= 120
    assert av.ask_tell(SPACE, {"params": 120}).ask().architecture.cost.params <= 120
    with pytest.raises(ValueError, match="param"):
        av.count(SPACE, {"max_parameters": 120})
