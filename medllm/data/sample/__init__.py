"""The embedded sample: AI Hub-shaped archives generated from data/knowledge."""
