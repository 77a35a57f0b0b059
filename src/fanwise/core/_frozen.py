"""Frozen dataclasses whose methods are written once.

Problem: `dataclass(frozen=True)` writes and compiles six functions for each class, which takes half
a millisecond, and the policies stand on the path of `import fanwise`, whose bound is 20 ms. Here
the fields are the standard library's, so that `fields`, `replace` and `asdict` work, and the
methods are shared. Rejected: named tuples, which are equal to any tuple and can be added.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

if TYPE_CHECKING:
    from dataclasses import Field


class _Signature:
    """The signature that `help` and `inspect` show, made when they ask."""

    def __get__(self, instance: object, owner: type[Frozen]) -> Signature:
        kind = Parameter.POSITIONAL_OR_KEYWORD
        return Signature(
            [
                Parameter(
                    field.name,
                    kind,
                    default=getattr(owner, field.name, Parameter.empty),
                    annotation=field.type,
                )
                for field in owner.__dataclass_fields__.values()
            ]
        )


@dataclass_transform(frozen_default=True)
class Frozen:
    """What a frozen dataclass is made under: `class Retry(Frozen):` and its annotated fields."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    __signature__: ClassVar[_Signature] = _Signature()

    def __init_subclass__(cls) -> None:
        """Collect the fields."""
        dataclass(init=False, repr=False, eq=False)(cls)

    if not TYPE_CHECKING:  # checkers write one for each class

        def __init__(self, *args: object, **kwargs: object) -> None:
            """Take the fields, by position or by name; those left out have their defaults."""
            kind = type(self)
            fields = kind.__dataclass_fields__
            given = dict(zip(fields, args, strict=False)) | kwargs
            values = {name: getattr(kind, name) for name in fields if hasattr(kind, name)} | given
            if len(given) < len(args) + len(kwargs) or values.keys() != fields.keys():
                try:
                    kind.__signature__.bind(*args, **kwargs)
                except TypeError as error:
                    raise TypeError(f"{kind.__name__}(): {error}") from None
            self.__dict__.update((name, values[name]) for name in fields)
            self.__post_init__()

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse a change."""
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        """Refuse a change."""
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        """Compare with another of the same class, field by field."""
        if type(other) is not type(self):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        """Show the fields, as they are written."""
        text = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__dataclass_fields__)
        return f"{type(self).__qualname__}({text})"
