"""What the layers do, one after the other: states on their way."""
