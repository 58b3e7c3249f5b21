"""The model: what it is, what it computes, and its files."""
