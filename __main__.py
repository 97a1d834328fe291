"""Run the command line with ``python -m archsieve``."""

from .search.cli.main import main

if __name__ == "__main__":
    main()
