"""LoRA on medical data, merged: python -m pipeline.finetune node=teacher source=base target=teacher."""

from hydra.utils import call
from omegaconf import DictConfig

from medllm.data.atomic import replaced_folder
from pipeline.entry import entrypoint, wired
from pipeline.layout import PREPARED, model_dir, target_dir
from pipeline.record import flat, recorded, speed
from pipeline.train_run import train_run


@entrypoint
def main(cfg: DictConfig) -> None:
    """artifacts/models/<source> -> artifacts/models/<target>, with the knobs of finetune.<node>."""
    wired(cfg, "node", "source", "target")
    node = cfg.finetune[cfg.node]
    with (
        recorded(f"finetune/{cfg.node}") as metrics,
        train_run(f"finetune@{cfg.node}", node, seed=cfg.seed, parents=[cfg.source], experiment_name=cfg.experiment_name) as run,
        replaced_folder(target_dir(cfg.target)) as folder,
    ):
        result = call(
            node, model_dir(cfg.source), PREPARED, folder, seed=cfg.seed, checkpoints=run.checkpoints, on_log=run.on_log, _convert_="all",
        )  # fmt: skip
        metrics |= flat(result)
        run.on_log(speed(result.training), result.training.steps)


if __name__ == "__main__":
    main()
