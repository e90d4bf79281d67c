"""Stands in for torchvision: the scripts beside it find it first, and its MNIST is drawn, not downloaded."""

from torchvision import datasets, transforms

__all__ = ["datasets", "transforms"]
