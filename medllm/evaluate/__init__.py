"""One versioned protocol that scores any model through any engine."""
