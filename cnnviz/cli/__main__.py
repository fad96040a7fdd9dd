"""`python -m cnnviz.cli`: the command line without its script."""

from cnnviz.cli import main

if __name__ == "__main__":
    main()
