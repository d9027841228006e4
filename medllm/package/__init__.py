"""What a service loads: weights, tokenizer, prompt, graph, red-flag rules and a manifest."""
