"""Put the results of the last run between the report markers of README.md: `python -m pipeline.readme`."""

import sys
from pathlib import Path

from medllm.errors import UserError
from medllm.report import readme_block, update_readme
from pipeline.layout import METRICS
from pipeline.record import read_json

README = Path("README.md")


def fill(readme: Path, compare: Path) -> None:
    """Write the block of `compare` (compare.json) into `readme`. UserError: no run yet, or no markers."""
    if not compare.is_file():
        raise UserError(f"{compare}: no such file; run dvc repro first")
    update_readme(readme, readme_block(read_json(compare)))


def main() -> None:
    """Fill the README of this folder."""
    try:
        fill(README, METRICS / "compare.json")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None
    print(f"{README}: results filled in")  # noqa: T201


if __name__ == "__main__":
    main()
