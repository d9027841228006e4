"""The starting point: the tiny base trained here, a local folder, or a revision of a hub repository."""

from hydra.utils import call
from omegaconf import DictConfig

from medllm.data.atomic import replaced_folder
from pipeline.entry import entrypoint
from pipeline.layout import PREPARED, target_dir
from pipeline.record import flat, recorded, speed
from pipeline.train_run import train_run


@entrypoint
def main(cfg: DictConfig) -> None:
    """data/prepared/corpus.jsonl -> artifacts/models/base."""
    with (
        recorded("fetch_base") as metrics,
        train_run("fetch_base", cfg.model, seed=cfg.seed, parents=[], experiment_name=cfg.experiment_name) as run,
        replaced_folder(target_dir("base")) as folder,
    ):
        result = call(cfg.model, PREPARED, folder, seed=cfg.seed, checkpoints=run.checkpoints, on_log=run.on_log, _convert_="all")
        metrics |= flat(result)
        if result.training:
            run.on_log(speed(result.training), result.training.steps)


if __name__ == "__main__":
    main()
