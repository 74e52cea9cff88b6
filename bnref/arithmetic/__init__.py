"""The number systems that the generated programs run on, and `evaluate`, which joins them."""

from .evaluation import evaluate

__all__ = ["evaluate"]
