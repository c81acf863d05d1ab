"""Functions over columns as machine code, compiled once a machine and kept beside the module that has them.

What goes here: how a loop is compiled and where that is kept. What does not: the loops (`features.kernel`). Importing
this imports the compiler, which takes a tenth of a second: import it, and what uses it, where it is needed.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import ParamSpec, TypeVar

from numba import njit
from numba.extending import register_jitable

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function as machine code that holds no lock of the interpreter and rounds each step as IEEE 754 says.

    Nothing is fused or reordered, so vectors of any width give the bits of one value after the other. Division by zero
    gives infinity or NaN. The code is kept in `__pycache__`, in the user's cache directory, or in NUMBA_CACHE_DIR;
    where none can be written, each process compiles anew, and the log says so.
    """
    try:
        made: Callable[P, R] = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError as error:  # the compiler's word for "nowhere to keep it"
        logging.getLogger(__name__).warning("%s is compiled in each process: %s", function.__qualname__, error)
        made = njit(nogil=True, error_model="numpy")(function)
    return made


def digest_of(*modules: ModuleType) -> str:
    """SHA-256 (hex) of their sources: kept code is found by one file, and this says what it calls in others.

    A function that closes over it, from within another one, is compiled anew when any of them is edited.
    """
    found = hashlib.sha256()
    for module in modules:
        assert module.__file__ is not None
        found.update(Path(module.__file__).read_bytes())
    return found.hexdigest()


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A small function as part of the loops of its file that call it; by itself it stays what Python makes of it.

    A call would hand over columns, and count who refers to each of them, for every row.
    """
    part: Callable[P, R] = register_jitable(error_model="numpy", forceinline=True)(function)
    return part
