"""Public Korean tasks by lm-eval, through our engines. lm-eval is an optional dependency and imported when it runs."""
