"""Generate the chart's files/default-settings.json: the default values that an existing ConfigMap replaces.

Helm's templates cannot read values.yaml, so they compare with this copy which of these values were changed.
"""

from __future__ import annotations

import json

import yaml

from tools.chart_readme import CHART
from webhook.settings.parse import KEYS

TARGET = CHART / "files" / "default-settings.json"


def default_settings() -> str:
    """The text of the file: the values that are named after a key of the ConfigMap."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    return json.dumps({key: values[key] for key in KEYS}, indent=2) + "\n"


if __name__ == "__main__":
    TARGET.write_text(default_settings())
