"""Other processes that use the history."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

WRITER = """
import sys
from pathlib import Path
from glmcli.store import open_store
from glmcli.types import Conversation, Message
from tests.support.turns import PARAMS, ask

store, conversation = open_store(Path(sys.argv[1])), Conversation()
"""


def run_python(script, *args, command=(), **options):
    """A process that runs `script`; what it prints can be read from its stdout."""
    line = [*command, sys.executable, "-c", script, *map(str, args)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True, **options)


def output(process):
    """What a process prints, and that it ended well."""
    printed, _ = process.communicate()
    assert process.returncode == 0
    return printed


def without_privileges():
    """A command that runs another as a user whom file modes stop, even if we are root."""
    if os.geteuid() != 0:
        return ()
    if not shutil.which("setpriv"):
        pytest.skip("root can write everywhere, and setpriv is not there to stop it")
    return ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
