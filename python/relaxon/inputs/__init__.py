"""What is known of inputs with gaps and errors."""
