"""The words of the platform as plain values: standard library only, no I/O, no clock."""
