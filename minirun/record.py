"""Records: named, typed, comparable values that cost almost nothing to define.

``dataclasses`` costs 13 ms of import (it pulls in ``inspect``); the OCI verbs have about 12 ms in all.
A record is a class whose annotations are its fields.  Fields are given by keyword and type checkers see
them as dataclass fields (``dataclass_transform``, PEP 681); nothing is checked at run time.

>>> class Point(Record):
...     x: int
...     y: int = 0
>>> Point(x=1)
Point(x=1, y=0)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, dataclass_transform
else:

    def dataclass_transform(**_: object):  # noqa: ANN201 (type checkers see the other branch)
        return lambda cls: cls


@dataclass_transform(kw_only_default=True)
class Record:
    """Base of all records; a subclass's annotations, after its parents', are its fields."""

    FIELDS: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        own = cls.__dict__.get("__annotations__", {})
        cls.FIELDS = cls.FIELDS + tuple(name for name in own if not name.isupper() and name not in cls.FIELDS)

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __eq__(self, other: object) -> bool:
        return self.__class__ is other.__class__ and self.astuple() == other.astuple()

    def __hash__(self) -> int:
        return hash((self.__class__, repr(self)))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.FIELDS)
        return f"{self.__class__.__name__}({fields})"

    def astuple(self) -> tuple[Any, ...]:
        """The values, in field order; a field never given (and without a default) is an AttributeError."""
        return tuple([getattr(self, name) for name in self.FIELDS])
