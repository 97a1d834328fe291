"""``python -m archsieve``: the command line."""

from .search.cli.main import main

if __name__ == "__main__":
    main()
