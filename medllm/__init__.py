"""Compress a Korean causal language model into a medical-consultation model, and prove what each step cost."""
