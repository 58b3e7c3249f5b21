"""What an experiment leaves in its folder."""
