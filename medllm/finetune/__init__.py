"""Low-rank fine-tuning, merged."""
