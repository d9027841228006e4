"""Imported by DVC before it composes conf/, so that `dvc exp run -S` refuses unknown keys and wrong types."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.schema import register

register()
