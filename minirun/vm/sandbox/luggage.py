"""Modules that go along to where there are no files of ours: read before, imported if and when they are needed."""

from __future__ import annotations

import sys
from _frozen_importlib import ModuleSpec
from marshal import loads

from minirun import hot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


class Luggage(hot.Finder):
    """In the place of the start-up bundle; ``cars``: name, source, its time and size, bytecode as marshal has it."""

    def __init__(self, cars: list[Any]) -> None:
        self.cars = {car[0]: car for car in cars}

    def board(self, train: str) -> None:
        """One module."""
        if train in self.cars and train not in sys.modules:
            *car, code = self.cars[train]
            self.run([(*car, loads(code))])

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in self.cars else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(loads(self.cars[module.__name__][4]), module.__dict__)

    def unpack(self) -> None:
        """From now on a module is built in, or it is here: nobody looks for a file."""
        sys.meta_path[:] = [*sys.meta_path[:2], self]  # built-in, frozen
        hot.active[:] = [self]


def pack(train: str) -> Luggage:
    """Without a bundle, or if it is not fresh, there is nothing in it: then all has to be imported before."""
    cars: list[Any] = []
    for finder in hot.active:
        cars = [car for section in finder.trains.get(train, ()) for car in finder.read(*section)]
    return Luggage(cars if all(hot.unchanged(*car[1:4]) for car in cars) else [])
