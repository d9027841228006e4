"""First stage: refuse a stale or invalid params.yaml before anything runs. Its output never changes, so nothing re-runs after it."""

from omegaconf import DictConfig

from medllm.errors import UserError
from pipeline.conf_sha import conf_sha
from pipeline.entry import entrypoint
from pipeline.layout import output_root


@entrypoint
def main(cfg: DictConfig) -> None:
    """Compare the stamp of params.yaml with conf/; keys, types and ranges were checked on the way here."""
    if cfg.conf_sha != conf_sha():
        raise UserError(
            f"params.yaml is stale: composed from conf@{cfg.conf_sha}, conf/ is now {conf_sha()}; "
            "run python -m pipeline.compose, then dvc repro"
        )
    target = output_root() / "config"
    target.mkdir(parents=True, exist_ok=True)
    (target / "valid").write_text("params.yaml passed the schema\n", encoding="utf-8")


if __name__ == "__main__":
    main()
