"""Processes of the node end at any time, also between two looks at them."""

import subprocess

import psutil

from tests.node.node import name_of, parent_of


def test_a_process_that_has_ended_has_no_name_and_no_parent():
    with subprocess.Popen(["sleep", "100"]) as started:
        process = psutil.Process(started.pid)
        started.kill()
    assert (name_of(process), parent_of(process)) == ("", None)
