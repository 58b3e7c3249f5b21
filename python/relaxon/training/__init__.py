"""Losses, penalties, optimizers and the descent that brings them together."""
