"""The source files of a plug-in: its module or package, and the modules of its folder that it imports."""

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from ...spaces.parameters.user_code import PACKAGE

INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib"))


def sources_of(name: str, file: Path) -> dict[str, bytes]:
    """Return the source files of the module ``name`` in ``file``, by their path on the import path.

    These are the files ``*.py`` of its module or top-level package, and of all modules of the same folder that an
    import statement in them names. Of an installed package only its own files are returned.
    """
    root, top = root_of(name, file), name.partition(".")[0]
    sources = _module(root, top)
    if is_installed(file):
        return sources
    waiting, known = [sources], {top}
    while waiting:
        for other in sorted(_imported(waiting.pop()) - known):
            known.add(other)
            if _is_neighbour(root, other):
                waiting.append(_module(root, other))
                sources |= waiting[-1]
    return sources


def root_of(name: str, file: Path) -> Path:
    """Return the folder on the import path that the module ``name`` in ``file`` is found in."""
    return file.parents[name.count(".") + (file.name == "__init__.py")]


def is_installed(file: Path) -> bool:
    """Return whether ``file`` belongs to an installed package or to Python."""
    return any(file.resolve().is_relative_to(root) for root in INSTALLED)


def digest_of(sources: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of source files, in hexadecimal digits: of their paths, lengths and contents."""
    digest = hashlib.sha256()
    for path, content in sorted(sources.items()):
        digest.update(f"{path} {len(content)} ".encode() + content)
    return digest.hexdigest()


def top_modules(sources: Mapping[str, bytes]) -> set[str]:
    """Return the names of the top-level modules of source files."""
    return {path.partition("/")[0].removesuffix(".py") for path in sources}


def _module(root: Path, top: str) -> dict[str, bytes]:
    """Return the files of the top-level module or package ``top`` in the folder ``root``."""
    single = root / f"{top}.py"
    # a package comes before a module of its name, and a module before a folder without __init__.py
    is_single = single.is_file() and not (root / top / "__init__.py").is_file()
    files = [single] if is_single else sorted((root / top).rglob("*.py"))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def _imported(sources: Mapping[str, bytes]) -> set[str]:
    """Return the top-level modules that import statements in ``sources`` name, also inside functions."""
    return {name.partition(".")[0] for text in sources.values() for name in _imports(text)}


def _imports(text: bytes) -> Iterator[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # the import of the module reports it, with its line
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _is_neighbour(root: Path, top: str) -> bool:
    """Return whether Python imports the module ``top`` from the folder ``root``, and not from elsewhere."""
    if top == PACKAGE or not any((root / name).exists() for name in (f"{top}.py", top)):
        return False
    try:
        spec = sys.modules[top].__spec__ if top in sys.modules else importlib.util.find_spec(top)
    except ValueError:  # a module without a spec, such as __main__
        return False
    if spec is None:
        return False
    if spec.origin is None:  # a folder without __init__.py
        return (root / top).resolve() in {Path(path).resolve() for path in spec.submodule_search_locations or ()}
    own = {(root / f"{top}.py").resolve(), (root / top / "__init__.py").resolve()}
    return Path(spec.origin).resolve() in own
