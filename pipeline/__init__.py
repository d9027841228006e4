"""Thin shell: Hydra entrypoints that DVC stages call. Telemetry of every library is off before any of them is imported."""

import logging
import os

for _name, _value in {
    "DVC_NO_ANALYTICS": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}.items():
    os.environ.setdefault(_name, _value)

# peft imports bitsandbytes, which warns that an optional kernel package for 4-bit matrices is not installed
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
