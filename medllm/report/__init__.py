"""One offline HTML page, its Markdown twin and the pictures of the README, from metric files and predictions."""

from medllm.report.markdown import readme_block, update_readme
from medllm.report.sections import data_view
from medllm.report.write import write_report

__all__ = ["data_view", "readme_block", "update_readme", "write_report"]
