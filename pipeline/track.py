"""Mirror dvc.lock and the metric files to MLflow; the runs are outside DVC: python -m pipeline.track."""

from omegaconf import DictConfig

from pipeline.entry import entrypoint
from pipeline.mirror import mirror
from pipeline.tracking import failures, warn


@entrypoint
def main(cfg: DictConfig) -> None:
    """dvc.lock + metrics -> MLflow; a failure is said and does not fail the pipeline."""
    try:
        mirror(cfg)
    except failures() as error:
        warn("tracking", error)


if __name__ == "__main__":
    main()
