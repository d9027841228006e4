"""A student of its own: a base of conf/model in place of the pruned model."""

import shutil
from dataclasses import replace
from pathlib import Path

from hydra.utils import call
from omegaconf import DictConfig

from medllm.data.atomic import replaced_folder
from medllm.data.prompts import PROMPT_FILE
from medllm.model.folder import read_lineage
from pipeline.layout import PREPARED
from pipeline.train_run import TrainRun


def fetch_student(node: DictConfig, run: TrainRun, *, teacher: Path, seed: int) -> Path:
    """The base that `node` describes, in the run's own folder: it is no model of the chain. It is asked as the teacher is."""
    folder = run.checkpoints / "student_base"
    if not folder.is_dir():
        with replaced_folder(folder) as fetched:
            training = run.checkpoints / "student_training"
            call(node, PREPARED, fetched, seed=seed, checkpoints=training, on_log=run.on_log, _convert_="all")
            shutil.copyfile(teacher / PROMPT_FILE, fetched / PROMPT_FILE)
    return folder


def without_parent(folder: Path, base: Path) -> None:
    """Nothing of the chain is the parent of such a student; its lineage says which base it began as instead."""
    lineage, origin = read_lineage(folder), read_lineage(base)
    began = {"base_method": origin.method} | {key: origin.params[key] for key in ("source", "revision", "licence") if key in origin.params}
    replace(lineage, parent=None, params=lineage.params | began).save(folder)
