"""What stands below everything: texts, streams, signals, files that survive."""
