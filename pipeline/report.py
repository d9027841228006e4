"""One HTML page with tables and pictures, and its Markdown twin: python -m pipeline.report."""

import platform
from importlib.metadata import version

from hydra.utils import call
from omegaconf import DictConfig

from medllm.data.atomic import replaced_folder
from pipeline.entry import entrypoint
from pipeline.layout import ARTIFACTS, METRICS, PREDICTIONS, RESULTS, output_root
from pipeline.record import read_json, recorded

STEPS = ("fetch_base", "finetune/teacher", "prune", "distill", "finetune/student")
PROGRAMS = ("torch", "transformers", "xllamacpp", "dvc")


@entrypoint
def main(cfg: DictConfig) -> None:
    """metrics, predictions, graph -> artifacts/report."""
    timings = sorted((ARTIFACTS / "timings").rglob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    seconds = {path.relative_to(ARTIFACTS / "timings").with_suffix("").as_posix(): read_json(path)["seconds"] for path in timings}
    with recorded("report"), replaced_folder(output_root() / "report") as folder:
        write = call(cfg.report, _partial_=True)  # hydra would turn every table that it is handed into a config: slow
        write(
            folder, compare=read_json(METRICS / "compare.json"), predictions=PREDICTIONS, results=RESULTS,
            stage_seconds=seconds, prepared=read_json(METRICS / "prepare_data.json"), knowledge=read_json(METRICS / "build_graph.json"),
            sample=read_json(METRICS / "make_sample.json"), graph=ARTIFACTS / "graph",
            step_metrics={step: read_json(METRICS / f"{step}.json") for step in STEPS},
            versions={"python": platform.python_version(), **{name: version(name) for name in PROGRAMS}},
        )  # fmt: skip


if __name__ == "__main__":
    main()
