"""One HTML page with tables and pictures, and its Markdown twin: python -m pipeline.report."""

from hydra.utils import call
from omegaconf import DictConfig

from medllm.data.atomic import replaced_folder
from medllm.report import data_view
from pipeline.entry import entrypoint
from pipeline.layout import ARTIFACTS, METRICS, PREDICTIONS, output_root
from pipeline.record import read_json, recorded

STEPS = ("make_sample", "build_graph", "fetch_base", "finetune/teacher", "prune", "distill", "finetune/student")


@entrypoint
def main(cfg: DictConfig) -> None:
    """metrics, predictions -> artifacts/report."""
    timings = sorted((ARTIFACTS / "timings").rglob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    seconds = {path.relative_to(ARTIFACTS / "timings").with_suffix("").as_posix(): read_json(path)["seconds"] for path in timings}
    with recorded("report"), replaced_folder(output_root() / "report") as folder:
        call(
            cfg.report, folder, compare=read_json(METRICS / "compare.json"), predictions=PREDICTIONS, stage_seconds=seconds,
            data_report=data_view(read_json(METRICS / "prepare_data.json")),
            step_metrics={step: read_json(METRICS / f"{step}.json") for step in STEPS},
        )  # fmt: skip


if __name__ == "__main__":
    main()
