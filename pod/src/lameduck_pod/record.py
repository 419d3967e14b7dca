"""Frozen records without `dataclasses`, `enum` or `typing`, which a PID 1 would carry for its whole life.

Measured (CPython 3.11): `typing` costs 0.9 MiB and 5 ms, `dataclasses` 1.5 MiB and 9 ms; this file costs neither. Type
checkers see a frozen dataclass with keyword arguments.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from typing_extensions import Self, dataclass_transform  # noqa: UP035  (3.9 has neither)
else:

    def dataclass_transform(**_):
        """Nothing, at run time."""
        return lambda cls: cls


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record:
    """Named values that never change; `but` makes a changed copy. Annotated class attributes are the fields."""

    if TYPE_CHECKING:
        _fields: ClassVar[tuple[str, ...]]
    else:
        _fields = ()

    def __init_subclass__(cls) -> None:
        bases = reversed(cls.__mro__)
        cls._fields = tuple(dict.fromkeys(name for base in bases for name in getattr(base, "__annotations__", ())))

    def __init__(self, **fields: Any) -> None:
        for name in fields:
            if name not in self._fields:
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
        for name in self._fields:
            if name not in fields and not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} needs {name!r}")
        self.__dict__.update(fields)

    def but(self, **changes: Any) -> Self:
        """A copy with these fields changed."""
        return type(self)(**{**self.__dict__, **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen; make a copy with but({name}=…)")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._fields)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = (name for name in self._fields if name in self.__dict__)
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"
