"""Mirror dvc.lock and the metric files to MLflow and register the package; the runs are outside DVC: python -m pipeline.track."""

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from pipeline.compose import compose
from pipeline.entry import entrypoint
from pipeline.lock import stage_names
from pipeline.mirror import mirror
from pipeline.tracking import failures, warn


@entrypoint
def main(cfg: DictConfig) -> None:
    """dvc.lock + metrics -> MLflow; a failure is said and does not fail the pipeline."""
    GlobalHydra.instance().clear()  # `cfg` is composed; conf/ without an experiment is what its values are named against
    default = compose()
    try:
        mirror(cfg, default, stage_names())
    except failures() as error:
        warn("tracking", error)


if __name__ == "__main__":
    main()
