"""What layers do to states: where they lead, how fast, certificates, waves and spectra."""
