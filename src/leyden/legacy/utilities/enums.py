"""Enums whose members compare as strings without regard to case."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Self


class LightningEnum(StrEnum):
    """A string enum that does not look at upper and lower case.

    Example:
        >>> class Mode(LightningEnum):
        ...     MIN = "min"
        >>> Mode.MIN == "MIN", Mode.from_str("Min")
        (True, <Mode.MIN: 'min'>)
    """

    @classmethod
    def from_str(cls, value: str) -> Self:
        """Return the member with this name or value.

        Raises:
            ValueError: There is none.
        """
        for member in cls:
            if value.lower() in (member.name.lower(), member.value.lower()):
                return member
        raise ValueError(f"{cls.__name__} has no {value!r}. Accepted: {[member.value for member in cls]}.")

    def __eq__(self, other: object) -> bool:
        value = other.value if isinstance(other, Enum) else other
        return isinstance(value, str) and str(self.value).lower() == value.lower()

    def __hash__(self) -> int:
        return hash(str(self.value).lower())


class GradClipAlgorithmType(LightningEnum):
    """How gradients are clipped: ``gradient_clip_algorithm``."""

    VALUE = "value"
    NORM = "norm"

    @staticmethod
    def supported_type(val: str) -> bool:
        """Return whether there is such an algorithm."""
        return any(member.value == val for member in GradClipAlgorithmType)

    @staticmethod
    def supported_types() -> list[str]:
        """Return the names of the algorithms."""
        return [member.value for member in GradClipAlgorithmType]
