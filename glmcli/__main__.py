"""python -m glmcli."""

from glmcli.cli import main

if __name__ == "__main__":
    main()
