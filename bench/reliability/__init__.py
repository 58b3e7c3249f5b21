"""What happens to files and fits when things go wrong: damage, kills, limits."""
