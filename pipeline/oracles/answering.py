"""What happens in the process of an oracle: one molecule after another, far from the terminal."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from pipeline.errors import InputError, first_line
from pipeline.named import function_named
from pipeline.oracles.built_in import BUILT_IN

READY = ""  # said once the function is there; else why it is not
LONGEST = 200  # characters of a reason
# Of the machine, the network or what is installed, not of the molecule: it may be answered another time.
PASSING = (OSError, MemoryError, ImportError, subprocess.TimeoutExpired)
Answer = tuple[float | None, str, bool]  # a value or the reason why there is none, and whether that stays so


def serve(name: str, here: str, connection: Connection) -> None:
    """Answer what comes through the connection until its other end is closed.

    Parameters
    ----------
    name : str
        Of the oracle.
    here : str
        The folder in which the user's own modules are.
    """
    _go_apart()
    sys.path.insert(0, here)
    try:
        function = function_of(name)
    except InputError as error:
        connection.send(str(error))
        return
    connection.send(READY)
    while True:
        try:
            smiles = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(answer(function, smiles))


def function_of(name: str) -> Callable[[str], Any]:
    """The function of an oracle that is there; raises as `function_named`."""
    return function_named(BUILT_IN[name].function if name in BUILT_IN else name, "oracle")


def _go_apart() -> None:
    """Lead a group of processes that can be ended as one, with whatever a function starts, when the parent wants it or
    is no more; and let nothing that is printed come to the terminal."""
    if hasattr(os, "setsid"):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def answer(function: Callable[[str], Any], smiles: str) -> Answer:
    """What a function says of a molecule: a finite number, or what it did instead."""
    try:
        return _number(function(smiles))
    except PASSING as error:
        return None, _short(f"{type(error).__name__}: {first_line(error)}"), False
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return None, _reason(error), True


def _number(said: Any) -> Answer:
    if isinstance(said, str | bytes):
        return None, _short(f"the oracle returned text ({said!r}), not a number"), True
    if isinstance(said, bool | np.bool_) or not hasattr(type(said), "__float__"):
        return None, _short(f"the oracle returned {_kind(said)}, not a number"), True
    value = float(said)
    return (value, "", True) if np.isfinite(value) else (None, f"the oracle returned {value}, not a number", True)


def _kind(said: Any) -> str:
    return repr(said) if said is None or isinstance(said, bool | np.bool_) else f"a {type(said).__name__}"


def _reason(error: BaseException) -> str:
    """In the words of an error; those of chemistry are sentences of their own."""
    from pipeline.tables.molecules import MoleculeError

    try:
        said = " ".join(str(error).split())
    except Exception:  # an error of the user's own that cannot even be written
        said = ""
    kind = type(error).__name__
    return _short(said if isinstance(error, MoleculeError) else f"{kind}: {said}" if said else kind)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
