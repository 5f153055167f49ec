"""What the parity tests, the API tests and the scripts that run the reference share."""
