"""One offline HTML page, its Markdown twin and the pictures of the README, from metric files and predictions."""

from medllm.report.markdown import readme_block, recipes_block, update_readme
from medllm.report.write import write_report

__all__ = ["readme_block", "recipes_block", "update_readme", "write_report"]
