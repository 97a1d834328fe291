"""Optional packages: an error with the pip line if one of them is not installed."""

import importlib.util

INT8_PACKAGES = ("torchao", "executorch")  # of a network in int8


def require(purpose: str, packages: tuple[str, ...], extra: str) -> None:
    """Raise ``ValueError`` if one of ``packages`` is not installed; ``extra`` of archsieve brings them."""
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise ValueError(
            f"{purpose} needs the packages {', '.join(packages)}, but {', '.join(missing)} is not installed; "
            f"run pip install 'archsieve[{extra}]'"
        )
