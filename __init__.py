"""Search convolutional networks under a hard budget, and query the best ones from a database.

The public interface of ``import archsieve as av`` is the names in ``__all__``: what a user calls. ``av.blocks`` and
``av.errors`` hold more names, which are also names of ``av``, as in ``av.Conv``, and so are the types of results. Each
name is loaded on its first use, so that the import loads neither torch nor ray. Other modules can be imported, but may
change between versions.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models.data.dataset import Source, Split
    from .models.data.registry import load_data, register_dataset
    from .models.networks.build import build
    from .models.profiling.module_block import ModuleBlock
    from .search.api import block_names as blocks
    from .search.api import error_names as errors
    from .search.api.after_search import diagnose, ensemble, import_trials
    from .search.api.ask_tell import ask_tell
    from .search.api.block_names import *  # noqa: F403
    from .search.api.error_names import *  # noqa: F403
    from .search.api.model import load_model, train, train_architecture
    from .search.api.replay import replay
    from .search.api.results import open_results
    from .search.api.searching import resume_search, run_search
    from .search.api.sklearn_classifier import ArchitectureSearchClassifier
    from .search.api.spaces import cost, count, device_cost, networks_space, profile, sample
    from .search.api.type_names import *  # noqa: F403
    from .search.searchers.base import Searcher
    from .search.searchers.registry import register_searcher
    from .spaces.architectures.architecture import Architecture
    from .spaces.architectures.budget import Budget
    from .spaces.blocks.base import Block
    from .spaces.blocks.standard import register_block
    from .spaces.metrics.registry import register_metric
    from .spaces.parameters.domains import Range, choice, repeat
    from .spaces.recipes.recipe import Recipe
    from .spaces.search_space.space import Space

__version__ = "0.1.0"

# module -> the public names in it
_PUBLIC = {
    "models.data.dataset": ("Request", "Source", "Split"),
    "models.data.registry": ("load_data", "register_dataset"),
    "models.image_files.errors": ("DataError",),
    "models.networks.build": ("build",),
    "models.profiling.module_block": ("ModuleBlock",),
    "models.training.training_job": ("TrainingJob",),
    "results.database.errors": ("RunExistsError", "StoreError"),
    "results.database.records": ("History", "Trial"),
    "search.api.after_search": ("diagnose", "ensemble", "import_trials"),
    "search.api.ask_tell": ("ask_tell",),
    "search.api.model": ("Model", "load_model", "train", "train_architecture"),
    "search.api.results": ("Results", "Trials", "open_results"),
    "search.api.replay": ("Replay", "ReplayedEpoch", "replay"),
    "search.api.sklearn_classifier": ("ArchitectureSearchClassifier",),
    "search.api.searching": ("Callback", "SearchFailedError", "SearchResult", "resume_search", "run_search"),
    "search.api.spaces": ("cost", "count", "device_cost", "networks_space", "profile", "sample"),
    "search.cluster.errors": ("ResourceError",),
    "spaces.parameters.user_code": ("PluginError",),
    "search.searchers.base": ("Proposal", "Searcher"),
    "search.searchers.registry": ("register_searcher",),
    "spaces.architectures.architecture": ("Architecture",),
    "spaces.architectures.budget": ("Budget",),
    "spaces.blocks.base": ("Block", "ShapeError"),
    "spaces.blocks.standard": (
        *("ChannelShuffle", "ClassMaps", "Conv", "ConvNeXtBlock", "ConvPool", "DenseBlock", "DepthwiseSeparable"),
        *("FactorizedInception", "Fire", "FusedInvertedResidual", "GlobalAverage", "GroupedBottleneck", "Inception"),
        *("InvertedResidual", "Linear", "LocalContrast", "Norm", "Pool", "PyramidPool", "Residual", "Resize"),
        *("ResponseNorm", "ShuffleUnit", "SqueezeExcite", "register_block"),
    ),
    "spaces.constrained.constrained_space": ("BudgetError", "ConstrainedSpace"),
    "spaces.metrics.registry": ("register_metric",),
    "spaces.parameters.domains": ("Range", "choice", "repeat"),
    "spaces.recipes.recipe": ("Recipe",),
    "spaces.search_space.space": ("Space",),
}
_MODULES = {name: module for module, names in _PUBLIC.items() for name in names}
_GROUPS = {"blocks": "search.api.block_names", "errors": "search.api.error_names"}
# what the same thing is called in Optuna, Ray Tune, KerasTuner, timm, scikit-learn and torchvision
_CALLED_ELSEWHERE = {
    **dict.fromkeys(("create_study", "optimize", "minimize", "fmin", "fit", "Tuner", "tuner"), "run_search"),
    **dict.fromkeys(("search", "run", "GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV"), "run_search"),
    **dict.fromkeys(("RandomSearch", "BayesianOptimization", "Hyperband", "GridSearch"), "run_search"),
    **dict.fromkeys(("TuneConfig", "RunConfig", "tune", "ASHAScheduler", "MedianPruner", "TPESampler"), "run_search"),
    **dict.fromkeys(("cross_validate", "cross_val_score", "HalvingRandomSearchCV", "ParameterGrid"), "run_search"),
    **dict.fromkeys(("load_study", "Study", "ResultGrid", "get_all_study_summaries", "Database"), "open_results"),
    **dict.fromkeys(("best_trial", "best_params", "best_value", "get_best_models", "results_summary"), "open_results"),
    **dict.fromkeys(("suggest_categorical", "suggest_int", "grid_search", "Choice", "randint", "Int"), "choice"),
    **dict.fromkeys(("CategoricalDistribution", "IntDistribution", "sample_from"), "choice"),
    **dict.fromkeys(("uniform", "loguniform", "suggest_float", "Float", "quniform", "FloatDistribution"), "Range"),
    **dict.fromkeys(("HyperParameters", "SearchSpace", "search_space", "HyperModel"), "Space"),
    **dict.fromkeys(("create_model", "get_model", "load", "from_pretrained", "load_state_dict"), "load_model"),
    **dict.fromkeys(("Conv2D", "Conv2d", "conv2d", "BasicBlock"), "Conv"),
    **dict.fromkeys(("Bottleneck", "ResidualBlock", "ResNet"), "Residual"),
    **dict.fromkeys(("MBConv", "MobileBottleneck"), "InvertedResidual"),
    **dict.fromkeys(("FusedMBConv", "EdgeResidual"), "FusedInvertedResidual"),
    **dict.fromkeys(("SqueezeExcitation", "SEModule", "SE"), "SqueezeExcite"),
    **dict.fromkeys(("CNBlock", "ConvNeXt"), "ConvNeXtBlock"),
    **dict.fromkeys(("resume", "restore"), "resume_search"),
    **dict.fromkeys(("Sampler", "Algorithm", "SearchAlgorithm"), "Searcher"),
    **dict.fromkeys(("retrain", "Trainer", "train_model"), "train"),
    **dict.fromkeys(("TrialState", "FrozenTrial", "trial", "Experiment"), "Trial"),
    **dict.fromkeys(("load_dataset", "ImageFolder", "CIFAR10", "load_digits", "create_dataset"), "load_data"),
    **dict.fromkeys(("VotingClassifier", "StackingClassifier", "BaggingClassifier"), "ensemble"),
    **dict.fromkeys(("doctor", "check"), "diagnose"),
    **dict.fromkeys(("import_study", "import_results", "add_trials", "ExperimentAnalysis"), "import_trials"),
    **dict.fromkeys(("flops", "macs", "summary", "get_model_complexity_info", "list_models"), "profile"),
    **dict.fromkeys(("ask", "tell", "Optimizer"), "ask_tell"),
    **dict.fromkeys(("register_model", "register_module", "register_layer"), "register_block"),
    **dict.fromkeys(("Constraint", "constraints", "limits"), "Budget"),
    **dict.fromkeys(("report", "Trainable", "TorchTrainer", "LightningModule", "get_context"), "TrainingJob"),
    **dict.fromkeys(("make_scorer", "Scorer", "Metric", "Objective", "metric"), "register_metric"),
    "HParams": "Recipe",
    "predict": "load_model",
    "export": "load_model",
}
# Names that users call. Blocks and errors are in two groups; the types that functions return are names of `_PUBLIC`.
__all__ = [
    "Architecture",
    "ArchitectureSearchClassifier",
    "Block",
    "Budget",
    "ModuleBlock",
    "Range",
    "Recipe",
    "Searcher",
    "Source",
    "Space",
    "Split",
    "__version__",
    "ask_tell",
    "blocks",
    "build",
    "choice",
    "cost",
    "count",
    "device_cost",
    "diagnose",
    "ensemble",
    "errors",
    "import_trials",
    "load_data",
    "load_model",
    "networks_space",
    "open_results",
    "profile",
    "register_block",
    "register_dataset",
    "register_metric",
    "register_searcher",
    "repeat",
    "replay",
    "resume_search",
    "run_search",
    "sample",
    "train",
    "train_architecture",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = value  # so that the next access does not call this function
        return value
    if name in _GROUPS:
        return import_module(f".{_GROUPS[name]}", __name__)
    if name.startswith("__"):  # asked for by Python itself and by many tools; None of these is a mistake
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    raise AttributeError(_no_such_name(name))


def _no_such_name(name: str) -> str:
    """Return the message for a name that is not public: the public name of the same thing, or the nearest name."""
    from difflib import get_close_matches

    other = _CALLED_ELSEWHERE.get(name)
    if other is None:
        near = get_close_matches(name.lower(), [known.lower() for known in _MODULES], n=1, cutoff=0.6)
        other = next((known for known in _MODULES if near and known.lower() == near[0]), None)
    hint = f"; use archsieve.{other}" if other else f"; the public names are {', '.join(sorted(_MODULES))}"
    return f"module {__name__!r} has no attribute {name!r}{hint}"


def __dir__() -> list[str]:
    return sorted(__all__)
