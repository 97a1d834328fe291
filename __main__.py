"""Run the command line with ``python -m archsieve`` or ``archsieve``."""

from .search.cluster.signals import NOTHING_STARTED, advise, exit_on_interrupt


def main() -> None:
    """Run the command line; Ctrl-C during its imports ends it with a message."""
    advise(NOTHING_STARTED)
    exit_on_interrupt()
    from .search.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
