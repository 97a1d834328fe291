"""Garbage collection while a command starts: it would traverse the objects of each import several times."""

import gc

_paused = False


def pause_collection() -> None:
    """Disable garbage collection until :func:`resume_collection`. For programs that own their process."""
    global _paused
    gc.disable()
    _paused = True


def resume_collection() -> None:
    """Enable garbage collection if :func:`pause_collection` disabled it, else do nothing.

    The objects that exist are left out of later collections. They are modules and classes, which stay until the end,
    and the first collections would take as long as all that the pause has saved.
    """
    global _paused
    if _paused:
        gc.freeze()
        gc.enable()
        _paused = False
