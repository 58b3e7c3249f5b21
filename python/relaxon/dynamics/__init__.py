"""What layers do to states: certificates, waves and spectra."""
