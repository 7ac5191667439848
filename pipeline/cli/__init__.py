"""The command line: thin, every verb one function of the package."""

from __future__ import annotations

import signal
import sys

from pipeline.cli import models, oracles, runs, start, studies, tables  # they register their verbs
from pipeline.cli.app import app
from pipeline.cli.terminal import console, errors
from pipeline.errors import InputError

__all__ = ["app", "console", "entry", "models", "oracles", "runs", "start", "studies", "tables"]


def entry() -> None:
    """The ``chemtune`` command: exit status 0, or 2 with one clear line for bad input."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # helpers end with the command
    try:
        app()
    except InputError as error:
        errors.print(f"chemtune: {error}", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print(
            "chemtune: stopped; what is finished is kept, and the same command goes on from there", markup=False
        )
        sys.exit(130)
    except (NotADirectoryError, FileExistsError, PermissionError) as error:
        errors.print(f"chemtune: {error.filename}: {error.strerror}", markup=False)
        sys.exit(2)
    except OSError as error:
        if error.errno != 28:  # ENOSPC
            raise
        errors.print(
            "chemtune: the disk is full; what is finished is kept, free some space and run again", markup=False
        )
        sys.exit(2)
