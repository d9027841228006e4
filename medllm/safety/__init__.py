"""Red flags: fixed emergency and crisis texts that come before any model."""
