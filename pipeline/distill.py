"""Teacher-student recovery: python -m pipeline.distill teacher=teacher source=pruned target=distilled."""

from hydra.utils import call
from omegaconf import DictConfig

from medllm.data.atomic import replaced_folder
from medllm.errors import UserError
from pipeline.entry import entrypoint, wired
from pipeline.layout import PREPARED, model_dir, target_dir
from pipeline.record import flat, recorded, speed
from pipeline.student_base import fetch_student, without_parent
from pipeline.train_run import train_run


def distil(cfg: DictConfig, stage: str, node: DictConfig, *, metrics_name: str, set_source: str) -> None:
    """artifacts/models/<source> + <teacher> -> artifacts/models/<target>, for this stage and for the rescue."""
    wired(cfg, "teacher", "source", "target")
    preset = isinstance(node.student, DictConfig)
    if not preset and node.student != cfg.source:
        raise UserError(
            f"{stage}.student={node.student!r}, but the stage reads source={cfg.source}; another model of the chain is set by "
            f"{set_source}, a base of its own by model@distill.student=<option of conf/model>"
        )
    with (
        recorded(metrics_name) as metrics,
        train_run(stage, node, seed=cfg.seed, parents=[cfg.source, cfg.teacher], experiment_name=cfg.experiment_name) as run,
        replaced_folder(target_dir(cfg.target)) as folder,
    ):
        teacher = model_dir(cfg.teacher)
        source = fetch_student(node.student, run, teacher=teacher, seed=cfg.seed) if preset else model_dir(cfg.source)
        knobs = {key: value for key, value in node.items() if key != "student"}
        result = call(
            knobs, teacher, source, PREPARED, folder, seed=cfg.seed, checkpoints=run.checkpoints, on_log=run.on_log, _convert_="all"
        )
        if preset:
            without_parent(folder, source)
        metrics |= flat(result)
        run.on_log(speed(result.training), result.training.steps)


@entrypoint
def main(cfg: DictConfig) -> None:
    """artifacts/models/<source> + <teacher> -> artifacts/models/<target>, with the knobs of conf/distill."""
    distil(cfg, "distill", cfg.distill, metrics_name="distill", set_source="chain.distill")


if __name__ == "__main__":
    main()
