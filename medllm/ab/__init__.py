"""Offline A/B test: two models that answered the same questions."""

from medllm.ab.verdicts import ab_test

__all__ = ["ab_test"]
