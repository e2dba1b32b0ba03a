"""The log: its format, and that logging never fails."""

import json
import os
import subprocess
import sys

import pytest

PRELUDE = """
import logging, sys, structlog
from webhook.server import logs
logs.configure({!r}, {!r})
log = structlog.get_logger()
"""


def run(code, log_format="json", level="info"):
    """Run code in a new process, whose standard output is the log."""
    program = PRELUDE.format(log_format, level) + code
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def lines(finished):
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines()]


def test_a_line_is_one_json_object_with_its_time_in_utc():
    (line,) = lines(run("log.info('admission', uid='1', pod='a\\nb')"))
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "admission", "level": "info", "uid": "1", "pod": "a\nb"}


def test_levels_below_the_configured_one_are_omitted():
    assert [
        line["level"] for line in lines(run("log.info('a'); log.warning('b'); log.error('c')", level="warning"))
    ] == [
        "warning",
        "error",
    ]


def test_warnings_of_libraries_have_the_same_format():
    found = lines(run("logging.getLogger('lib').info('chat'); logging.getLogger('lib').warning('%s is wrong', 'it')"))
    assert [(line["event"], line["logger"], line["level"]) for line in found] == [("it is wrong", "lib", "warning")]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_exception_is_written_without_the_values_of_its_variables(log_format):
    code = """
def fail(secret):
    raise ValueError('bad')
try:
    fail('hunter' + str(2))  # Python 3.13 also writes this line
except ValueError:
    log.exception('failed')
"""
    finished = run(code, log_format)
    assert "ValueError: bad" in finished.stdout
    assert "hunter2" not in finished.stdout


def test_unusual_levels_and_bad_formats_of_libraries_are_logged():
    odd, after = lines(
        run("lib = logging.getLogger('lib'); lib.log(35, 'odd'); lib.error('%s %s', 1); lib.error('on')")
    )
    assert (odd["event"], odd["level"]) == ("odd", "warning")
    assert after["event"] == "on"


def test_values_that_json_cannot_represent_are_written_as_text():
    odd = ["object()", "'\\ud800'", "{1: 2}", "{(): 2}", "2**100", "float('nan')"]
    found = lines(run("".join(f"log.info('odd', value={value})\n" for value in odd)))
    assert [line["event"] for line in found] == ["odd"] * len(odd)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_closed_log_does_not_stop_the_process(log_format):
    read, write = os.pipe()
    os.close(read)
    code = "log.info('a'); log.error('b'); logging.getLogger('lib').error('c'); print('alive', file=sys.stderr)"
    program = PRELUDE.format(log_format, "info") + code
    finished = subprocess.run(
        [sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(write)
    assert finished.stderr.startswith(b"alive")
