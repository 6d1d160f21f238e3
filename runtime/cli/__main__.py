"""`python -m runtime.cli`: the same as the console script."""

from runtime.cli import main

if __name__ == "__main__":
    main()
