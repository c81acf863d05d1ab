"""The same strategies, sizes and risk rules as in trading, over bars of the past."""
