"""The losses as functions, by torch's names."""

from .losses.huber import huber_loss

__all__ = ["huber_loss"]
