"""The stamp that ties params.yaml to the conf/ it was composed from."""

import hashlib
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent / "conf"


def conf_sha() -> str:
    """First 12 hex digits of the sha256 over names and contents of conf/**/*.yaml.

    stage.yaml only bridges, and search/ is outside the DAG: they do not count.
    """
    digest = hashlib.sha256()
    for path in sorted(CONF.rglob("*.yaml")):
        if path.name == "stage.yaml" or path.parent.name == "search":
            continue
        digest.update(path.relative_to(CONF).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
