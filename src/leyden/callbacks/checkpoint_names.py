"""The names of checkpoint files: templates such as ``{epoch}-{val_loss:.2f}``."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any

from leyden.errors import MisconfigurationException, bad_value

_ACCEPTED = "text with fields like '{epoch}', '{step}', '{val_loss:.2f}'"


def check_template(argument: str, template: str) -> None:
    """Refuse a template that could not be filled.

    Args:
        argument: The argument the template came from, for the message.
        template: Text with fields; a field is the name of a metric and, after a colon, a format.

    Raises:
        MisconfigurationException: Unbalanced braces, a field without a name, a format that fits no number.
    """
    try:
        for _, key, spec, conversion in Formatter().parse(template):
            if key is None:
                continue
            if not key or conversion:
                raise ValueError("a field without a name" if not key else f"the conversion !{conversion}")
            _check_format(spec or "")
    except ValueError as error:
        raise MisconfigurationException(bad_value(argument, template, f"{_ACCEPTED}; this has {error}")) from None


def fill_template(template: str, metrics: Mapping[str, Any], *, insert_names: bool, equals: str = "=") -> str:
    """Put metrics into a template.

    Args:
        template: Text with fields. A field's name is taken literally: ``{val/loss}`` and ``{a.b}`` are metric names.
        metrics: Numbers and scalar tensors by name; a missing one counts as 0.
        insert_names: Whether to write ``name=value`` or the value alone.
        equals: What stands between name and value.

    Example:
        >>> fill_template("{epoch}-{val_loss:.2f}", {"epoch": 2, "val_loss": 0.123}, insert_names=True)
        'epoch=2-val_loss=0.12'
    """
    text = []
    for literal, key, spec, _ in Formatter().parse(template):
        text.append(literal)
        if key is None:
            continue
        value = metrics.get(key, 0)
        try:
            number = format(value, spec or "")
        except ValueError as error:
            fix = f"write a format for floats, '{{{key}:.2f}}'"
            raise MisconfigurationException(
                bad_value("filename", template, f"formats that fit {key}={value} ({error})", fix)
            ) from None
        text.append(f"{key}{equals}{number}" if insert_names else number)
    return "".join(text)


def _check_format(spec: str) -> None:
    """Raise ValueError if neither an int nor a float can be written with this format."""
    try:
        format(0, spec)
    except ValueError:
        format(0.0, spec)
