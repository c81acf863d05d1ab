"""`python -m ibkr_assets.cli` is the same command, for processes that start each other."""

from ibkr_assets.cli.main import main

main()
