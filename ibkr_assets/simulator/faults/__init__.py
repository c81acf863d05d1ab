"""What can be made to go wrong: the table of faults, and the board of those that are armed."""
