"""Environment variables of the command line, colours, version and completion."""

import errno
import json
import os
import pty
import re
import subprocess
import sys

import pytest

from tests.cli.running import run, storage_webhook
from tests.serving import pod
from webhook.cli.environment import service_links, unknown_variables
from webhook.version import version


def test_a_misspelt_variable_is_named_with_the_nearest_one():
    result = run("mutate", stdin="kind: Service\n", env={"STORAGE_WEBHOOK_NAMSPACE": "models"})
    assert result.exit_code == 0
    assert "warning: environment variable STORAGE_WEBHOOK_NAMSPACE is unknown" in result.stderr
    assert "did you mean STORAGE_WEBHOOK_NAMESPACE?" in result.stderr


def test_variables_of_other_commands_are_known():
    known = {"STORAGE_WEBHOOK_CACHE_MAX_SIZE": "1Gi", "STORAGE_WEBHOOK_MAX_IN_FLIGHT": "9", "OTHER": "x"}
    assert "unknown" not in run("mutate", stdin="kind: Service\n", env=known).stderr


def links(service):
    """What Kubernetes sets for a Service with one named port."""
    return {
        f"{service}_SERVICE_HOST": "10.96.0.7",
        f"{service}_SERVICE_PORT": "443",
        f"{service}_SERVICE_PORT_HTTPS": "443",
        f"{service}_PORT": "tcp://10.96.0.7:443",
        f"{service}_PORT_443_TCP": "tcp://10.96.0.7:443",
        f"{service}_PORT_443_TCP_PROTO": "tcp",
        f"{service}_PORT_443_TCP_PORT": "443",
        f"{service}_PORT_443_TCP_ADDR": "10.96.0.7",
    }


@pytest.mark.parametrize("service", ["STORAGE_WEBHOOK", "STORAGE_WEBHOOK_METRICS", "STORAGE_WEBHOOK_OTHER"])
def test_variables_of_services_are_not_options(service):
    assert sorted(service_links({**links(service), "STORAGE_WEBHOOK_PORT": "tcp://[::1]:1"})) == sorted(
        {**links(service), "STORAGE_WEBHOOK_PORT": ""}
    )
    result = run("serve", env=links(service))
    assert "a serving certificate is required" in " ".join(result.stderr.replace("│", " ").split())
    assert "unknown" not in result.stderr


def test_options_are_no_variables_of_services():
    given = {"STORAGE_WEBHOOK_PORT": "8443", "STORAGE_WEBHOOK_METRICS_PORT": "9090", "STORAGE_WEBHOOK_HOST": "::"}
    assert service_links(given) == []


def test_nothing_near_is_no_suggestion():
    (sentence,) = unknown_variables(["STORAGE_WEBHOOK_QQQ", "HOME"], ["STORAGE_WEBHOOK_FILE"])
    assert "did you mean" not in sentence


def test_the_version_is_that_of_the_package():
    assert run("--version").stdout == f"storage-webhook {version()}\n"
    assert version()[0].isdigit()


@pytest.mark.parametrize(
    ("words", "expected"),
    [("storage-webhook mu", ["mutate"]), ("storage-webhook mutate -o p", ["patch"])],
)
def test_bash_completes_commands_and_values(words, expected):
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    finished = storage_webhook(_STORAGE_WEBHOOK_COMPLETE="complete_bash", **variables)
    assert finished.stdout.split() == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_documented_completion_script_is_printed(shell):
    finished = storage_webhook(_STORAGE_WEBHOOK_COMPLETE=f"source_{shell}")
    assert finished.returncode == 0
    assert "storage-webhook" in finished.stdout


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
@pytest.mark.parametrize("arguments", [["mutate", "-o", "diff"], ["mutate", "--nope"], ["--help"]])
def test_a_terminal_gets_colours_unless_the_user_wants_none(env, coloured, arguments):
    output = on_a_terminal(arguments, {"TERM": "xterm", **env})
    assert bool(re.search(r"\x1b\[(?:\d+;)*3\d", output)) == coloured, output


def on_a_terminal(arguments, env):
    """The output of the command whose standard output and error are a terminal."""
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "webhook", *arguments],
        stdin=subprocess.PIPE,
        stdout=terminal,
        stderr=terminal,
        env={**clean, **env},
    )
    os.close(terminal)
    process.stdin.write(json.dumps(pod(uri="s3://b/m")).encode())
    process.stdin.close()
    output = b""
    try:
        while chunk := os.read(main, 4096):
            output += chunk
    except OSError as error:
        assert error.errno == errno.EIO
    finally:
        os.close(main)
        process.wait(timeout=60)
    return output.decode()
