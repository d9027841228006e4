"""distill.student is a model of the chain or a base of conf/model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from medllm.errors import UserError
from medllm.model.folder import Lineage, read_lineage
from pipeline.compose import compose
from pipeline.student_base import fetch_student, without_parent
from pipeline.train_run import TrainRun

LOCAL = ("model@distill.student=local", "distill.student.source=models/mine")


def test_by_default_it_is_what_the_chain_says() -> None:
    assert compose().distill.student == "pruned"
    assert compose(["chain.distill=teacher"]).distill.student == "teacher"
    assert compose().rescue.student == "student"


@pytest.mark.parametrize("option", ["forward_kl", "cross_entropy", "hidden"])
def test_a_base_takes_the_place_of_the_name(option: str) -> None:
    cfg = compose([f"distill={option}", *LOCAL])
    assert cfg.distill.student.source == "models/mine"
    assert cfg.distill.student._target_ == "medllm.model.pretrained.fetch_pretrained"
    assert cfg.rescue.student == "student"


@pytest.mark.parametrize(("overrides", "told"), [
    (["distill.student="], "distill.student=''"),
    (["distill.student=5"], "distill.student=5 is neither"),
    ([*LOCAL, "distill.student.licens=3"], "Key 'licens' not in 'ModelPretrained'"),
    ([*LOCAL, "distill.student.source="], "distill.student.source=''"),
    ([*LOCAL, "distill.student._target_=os.system"], "distill.student._target_='os.system'"),
    (["rescue.fake_quantize=q3"], "rescue.fake_quantize='q3'"),
    (["distill.hidden_weight=-1"], "distill.hidden_weight=-1.0"),
])  # fmt: skip
def test_bad_students_are_refused_by_compose(overrides: Sequence[str], told: str) -> None:
    with pytest.raises(UserError, match=r"\Aconfig error: .*\Z") as refused:
        compose(overrides)
    assert told in str(refused.value)


def test_a_base_is_fetched_once_and_has_no_parent(tiny_folder: Path, tmp_path: Path) -> None:
    given = ["model@distill.student=local", f"distill.student.source={tiny_folder}", "distill.student.context_length=256"]
    node: Any = OmegaConf.to_container(compose(given).distill.student)
    run = TrainRun(checkpoints=tmp_path / "checkpoints", on_log=lambda values, step: None)
    folder = fetch_student(OmegaConf.create(node), run, teacher=tiny_folder, seed=1)
    assert (folder / "prompt.json").read_bytes() == (tiny_folder / "prompt.json").read_bytes()
    assert fetch_student(OmegaConf.create({"_target_": "os.abort"}), run, teacher=tiny_folder, seed=1) == folder
    Lineage(name="distilled", parent=folder.name, step="distill", method="forward_kl", params={"alpha": 0.7}).save(tmp_path)
    without_parent(tmp_path, folder)
    lineage = read_lineage(tmp_path)
    assert (lineage.parent, lineage.method, lineage.params["alpha"]) == (None, "forward_kl", 0.7)
    assert lineage.params["source"] == str(tiny_folder)
    assert lineage.params["base_method"] == "fetch_pretrained"
    assert "licence" in lineage.params
