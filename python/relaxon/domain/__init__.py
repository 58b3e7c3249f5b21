"""Where fields live."""
