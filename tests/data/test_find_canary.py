from pathlib import Path

import pytest

from medllm.data.canary import CANARY_PREFIX, find_canary


@pytest.mark.parametrize("folder", [False, True])
def test_a_canary_is_found_wherever_it_turns_up(tmp_path: Path, folder: bool) -> None:
    clean, leaked = tmp_path / "metrics.json", tmp_path / "deep" / "mlflow.db"
    clean.write_text('{"canary": 1}', encoding="utf-8")
    leaked.parent.mkdir()
    leaked.write_bytes(b"\0" * ((1 << 20) - 5) + CANARY_PREFIX.upper().encode() + b"x1\0")  # over the border of two chunks
    assert find_canary([tmp_path] if folder else [clean, leaked, tmp_path / "missing"]) == [leaked]
