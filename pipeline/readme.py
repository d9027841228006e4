"""Put the results of the last run and the newest recipes between their markers of README.md: `python -m pipeline.readme`."""

from pathlib import Path

from medllm.errors import UserError
from medllm.report import readme_block, recipes_block, update_readme
from medllm.report.markdown import RECIPES_BEGIN, RECIPES_END
from pipeline.layout import METRICS, RESULTS
from pipeline.messages import one_line_errors
from pipeline.record import read_json

README = Path("README.md")


def fill(readme: Path, compare: Path, results: Path) -> None:
    """Write the blocks of `compare` (compare.json) and of the recipes in `results` into `readme`. UserError: no run yet, or no markers."""
    if not compare.is_file():
        raise UserError(f"{compare}: no such file; run dvc repro first")
    update_readme(readme, readme_block(read_json(compare)))
    if recipes := recipes_block(results):
        update_readme(readme, recipes, begin=RECIPES_BEGIN, end=RECIPES_END)


def main() -> None:
    """Fill the README of this folder."""
    with one_line_errors(UserError):
        fill(README, METRICS / "compare.json", RESULTS)
    print(f"{README}: results filled in")  # noqa: T201


if __name__ == "__main__":
    main()
