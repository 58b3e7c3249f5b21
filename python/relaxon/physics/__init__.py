"""What a trained model has learned, in physical units: values, errors, stability, pictures."""
