"""What programs take from the training package: images and constants."""
