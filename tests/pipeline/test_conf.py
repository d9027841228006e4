"""conf/ -> params.yaml -> entrypoint: what is composed is valid, and what is wrong is refused in one line."""

import copy as copying
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import InstantiationException
from hydra.utils import call
from omegaconf import OmegaConf

from medllm.errors import UserError
from pipeline.compose import compose
from pipeline.conf_sha import CONF, conf_sha
from pipeline.messages import unwrapped
from pipeline.schema import OPTIONS
from pipeline.validate import validate

# a search is no part of params.yaml
OPTION_FILES = sorted(
    path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.glob("*/*.yaml") if path.parent.name != "search"
)
# Groups whose options sit under a name of their own.
PLACES = {"finetune": "finetune@finetune.teacher", "quantize": "quantize@quantize.gguf_q8_0"}
Files = dict[str, bytes]


def _files(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_params_are_composed_from_conf(root: Path) -> None:
    text = (root / "params.yaml").read_text(encoding="utf-8")
    assert text == OmegaConf.to_yaml(compose()), "run python -m pipeline.compose and commit params.yaml"
    assert "???" not in text


def test_stamp(root: Path, params: dict[str, Any]) -> None:
    assert params["conf_sha"] == conf_sha()
    assert root / "conf" == CONF


@pytest.mark.parametrize("option", OPTION_FILES)
def test_every_option_composes(option: str) -> None:
    group, _, name = option.partition("/")
    cfg = compose([f"{PLACES.get(group, group)}={name}"])  # validates too
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    if group != "experiment":
        node = OmegaConf.select(cfg, PLACES.get(group, group).partition("@")[2] or group)
        family = "distill" if group == "rescue" else group  # a rescue is a distillation
        assert node._target_ in {schema._target_ for owner, _, schema in OPTIONS if owner == family}


def test_every_schema_has_an_option() -> None:
    used = {(path.parent.name, line) for path in CONF.glob("*/*.yaml") for line in path.read_text(encoding="utf-8").splitlines()}
    for group, name, _ in OPTIONS:
        assert (group, f"defaults: [{name}, _self_]") in used, f"no file of conf/{group} starts from {name}"


@pytest.mark.parametrize(("overrides", "told"), [
    (["prune.rato=0.3"], "prune.rato"),
    (["+prune.rato=0.3"], "Key 'rato' not in 'PruneWidth'"),
    (["prune.ratio=abc"], "Value 'abc' of type 'str' could not be converted to Float, full_key: prune.ratio"),
    (["prune.ratio="], "full_key: prune.ratio"),
    (["prune.ratio=1.5"], "prune.ratio=1.5: Input should be less than 0.9"),
    (["prune.ratio=0"], "prune.ratio=0.0: Input should be greater than 0"),
    (["prune.ratio=0.1,0.2"], "Ambiguous value"),
    (["prune=gpt"], "Available options in 'prune': combined depth ffn heads width"),
    (["prune=5"], "Config group override"),
    (["model=gpt9"], "Could not find 'model/gpt9'"),
    (["experiment=nope"], "Could not find 'experiment/nope'"),
    (["prune=depth", "prune.round_to=64"], "prune.round_to"),
    (["seed=-1"], "seed=-1"),
    (["seed=1.5"], "full_key: seed"),
    (["+treads=2"], "Key 'treads' not in 'Config'"),
    (["finetune.teacher.rank=0"], "finetune.teacher.rank=0"),
    (["finetune.teacher.schedule.precision=fp16"], "finetune.teacher.schedule.precision='fp16'"),
    (["+finetune.studnt.rank=8"], "finetune.studnt._target_=None"),
    (["quantize.gguf_q4_0.scheme=q3"], "quantize.gguf_q4_0.scheme='q3'"),
    (["distill.trainable=half"], "distill.trainable='half'"),
    (["compare.goals.size=abc"], "full_key: compare.goals.size"),
    (["prune._target_=os.system"], "prune._target_='os.system'"),
    (["~prune.ratio"], "prune.ratio"),
    (["models=[a"], "'[a'"),
])  # fmt: skip
def test_bad_overrides_are_refused_by_compose(overrides: list[str], told: str) -> None:
    with pytest.raises(UserError) as refused:
        compose(overrides)
    message = str(refused.value)
    assert told in message
    assert "\n" not in message
    assert message.startswith("config error: ")
    assert "_schema" not in message


def test_the_committed_params_are_valid(params: dict[str, Any]) -> None:
    validate(OmegaConf.create(copying.deepcopy(params)))


@pytest.mark.parametrize(("break_it", "told"), [
    (lambda cfg: cfg.update(prune=5), "prune._target_=None"),
    (lambda cfg: cfg.pop("prune"), "prune"),
    (lambda cfg: cfg.pop("seed"), "seed"),
    (lambda cfg: cfg.update(models="base"), "models"),
    (lambda cfg: cfg.update(finetune=5), "finetune"),
    (lambda cfg: cfg["finetune"].update(student=None), "finetune.student"),
    (lambda cfg: cfg["prune"].pop("ratio"), "prune.ratio"),
    (lambda cfg: cfg["prune"].update(ratio=float("nan")), "prune.ratio=nan"),
    (lambda cfg: cfg["prune"].update(round_to=64.5), "prune.round_to"),
    (lambda cfg: cfg["model"]["prompt"].update(nmae="x"), "model.prompt.nmae"),
    (lambda cfg: cfg["model"]["schedule"].update(num_epochs=0), "model.schedule.num_epochs=0"),
    (lambda cfg: cfg["distill"]["lora_targets"].append({"a": 1}), "distill.lora_targets"),
])  # fmt: skip
def test_hand_edits_of_params_are_checked(params: dict[str, Any], break_it: Callable[[dict[str, Any]], None], told: str) -> None:
    edited = copying.deepcopy(params)
    break_it(edited)
    with pytest.raises(UserError, match=r"\Aconfig error: .*\Z") as refused:
        validate(OmegaConf.create(edited))
    assert told in str(refused.value)


def test_a_replaced_group_sheds_the_keys_of_the_other_option_only(params: dict[str, Any]) -> None:
    depth = {"_target_": "medllm.prune.depth.prune_depth", "metric": "block_influence", "iterative": False}
    cfg = OmegaConf.create({**params, "prune": {**params["prune"], **depth}})
    assert "round_to" not in validate(cfg, replaced_groups=["prune"]).prune
    with pytest.raises(UserError, match="axes"):
        validate(cfg)
    cfg.prune.rato = 0.3
    with pytest.raises(UserError, match="rato"):
        validate(cfg, replaced_groups=["prune"])


def test_a_called_function_speaks_for_itself() -> None:
    with pytest.raises(InstantiationException) as wrapped:
        call({"_target_": "builtins.int"}, "twelve")
    assert isinstance(unwrapped(wrapped.value), ValueError)


@pytest.mark.parametrize(("arguments", "told"), [
    (["config", "prune.rato=0.3"], "prune.rato"),
    (["config", "+prune.rato=0.3"], "Key 'rato' not in 'PruneWidth'"),
    (["config", "prune=depth"], "+prune=depth"),
    (["config", "+prune=gpt"], "Available options in 'prune': combined depth ffn heads width"),
    (["config", "+prune=depth", "+prune.rato=0.3"], "Key 'rato' not in 'PruneDepth'"),
    (["config", "prune=5"], "Config group override"),
    (["prune", "prune.ratio=abc"], "full_key: prune.ratio"),
    (["prune", "prune.ratio=1.5"], "prune.ratio=1.5: Input should be less than 0.9"),
    (["prune", "prune.ratio=0.1,0.2"], "--multirun"),
    (["quantize", "source=student"], "node="),
    (["quantize", "source=student", "target=x", "node=gguf_q9"], "gguf_q9"),
    (["prepare_data"], "data/raw/sample: no such folder"),
    (["report"], "artifacts/metrics/compare.json"),
    (["compose", "prune.ratio=abc"], "full_key: prune.ratio"),
])  # fmt: skip
def test_a_command_fails_in_one_line(shared_copy: Path, run: Any, arguments: list[str], told: str) -> None:
    before = _files(shared_copy)
    result = run(shared_copy, "python", "-m", f"pipeline.{arguments[0]}", *arguments[1:])
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("error: ")
    assert told in result.stderr
    assert _files(shared_copy) == before, "a refused command leaves nothing behind"


@pytest.mark.parametrize(("text", "told"), [("prune: [", "line 2"), ("", "missing mandatory value"), ("threads: 2\nprunee: {}", "prunee")])
def test_broken_params_fail_in_one_line(copy: Path, run: Any, text: str, told: str) -> None:
    (copy / "params.yaml").write_text(f"{text}\n", encoding="utf-8")
    result = run(copy, "python", "-m", "pipeline.config")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert told in result.stderr


def test_missing_params_fail_in_one_line(tmp_path: Path, root: Path, run: Any) -> None:
    code = f"import sys; sys.path.insert(0, {str(root)!r}); from pipeline.config import main; main()"
    result = run(tmp_path, "python", "-c", code)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "error: params.yaml: not in this folder; run from the repository root, or compose it with python -m pipeline.compose"
    ]


@pytest.mark.parametrize("arguments", ["", "prune.ratio=0.3", "+prune=depth", "+experiment=ruinous_prune", "-m prune.ratio=0.1,0.2"])
def test_a_run_by_hand_writes_under_adhoc_only(copy: Path, run: Any, arguments: str) -> None:
    before = _files(copy)
    result = run(copy, "python", "-m", "pipeline.config", *arguments.split())
    assert (result.returncode, result.stderr) == (0, "")
    new = {path for path, content in _files(copy).items() if before.get(path) != content}
    assert "artifacts/adhoc/config/valid" in new
    assert all(path.startswith("artifacts/adhoc/") for path in new), new
    if "-m" in arguments:
        assert "#1 : prune.ratio=0.2" in result.stdout
