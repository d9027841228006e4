"""Statistics of paired scores. Nothing is imported here: what only needs an interval does not wait for the rest."""
