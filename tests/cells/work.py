"""Workers for the tests of executors; they are imported by helpers in other processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pipeline.errors import InputError


def double(context, machine, cell, needed):
    """Twice the number, or the sum of what is needed; and in a file, who did it."""
    with open(Path(context) / f"{cell.label}.log", "a", encoding="utf-8") as log:
        log.write(f"{os.getpid()}\n")
    time.sleep(cell.inputs.get("wait", 0.0))
    value = sum(one["value"] for one in needed) if needed else 2 * cell.inputs["number"]
    return {"value": value, "seconds": 1.0, "told": machine.threads}


def die_once(context, machine, cell, needed):
    """Ends the process that does it for the first time, as a system without memory would."""
    mark = Path(context) / f"{cell.label}.died"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return double(context, machine, cell, needed)


def die_always(context, machine, cell, needed):
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(context, machine, cell, needed):
    raise InputError("this cell cannot be made")
