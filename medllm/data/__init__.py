"""Records, adapters, cleaning, splits and prompts."""
