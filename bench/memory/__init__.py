"""Peak resident memory of one gradient, measured from outside the process."""
