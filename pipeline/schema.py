"""Top level of the configuration and the table of its options (pipeline/options/). No torch here: DVC imports it too."""

from dataclasses import field, is_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf
from pydantic.dataclasses import dataclass

from pipeline.conf_sha import conf_sha
from pipeline.options import ab, data, distill, finetune, judge, model, prune, quantize
from pipeline.options.knobs import Count, Natural, Text


@dataclass
class Chain:
    """The model that each step starts from."""

    prune: Text = MISSING
    distill: Text = MISSING
    student: Text = MISSING
    rescue: dict[str, Text] = MISSING
    quantize: Text = MISSING
    peers: dict[str, Text] = MISSING


@dataclass
class Config:
    """Top level of params.yaml. Group nodes are checked against the dataclass that their `_target_` names."""

    conf_sha: str = "${conf_sha:}"
    seed: Natural = MISSING
    threads: Count = MISSING
    experiment_name: Text = MISSING
    chain: Chain = field(default_factory=Chain)
    models: list[str] = MISSING
    sample: Any = MISSING
    data: Any = MISSING
    graph: Any = MISSING
    model: Any = MISSING
    finetune: dict[str, Any] = MISSING
    prune: Any = MISSING
    distill: Any = MISSING
    rescue: Any = MISSING
    quantize: dict[str, Any] = MISSING
    evaluate: Any = MISSING
    benchmark: Any = MISSING
    compare: Any = MISSING
    ab: Any = MISSING
    report: Any = MISSING
    package: Any = MISSING


@dataclass
class Stage(Config):
    """What an entrypoint gets: params.yaml and the wiring that dvc.yaml puts on the command line."""

    source: str = ""
    target: str = ""
    teacher: str = ""
    node: str = ""
    a: str = ""
    b: str = ""


# (config group, schema name, class): conf/<group>/<option>.yaml starts its defaults list with <schema name>.
OPTIONS: tuple[tuple[str, str, type], ...] = (
    ("sample", "facts_schema", data.SampleFacts),
    ("data", "aihub_schema", data.DataAihub),
    ("graph", "dictionary_schema", data.GraphDictionary),
    ("model", "tiny_schema", model.ModelTiny),
    ("model", "pretrained_schema", model.ModelPretrained),
    ("finetune", "lora_schema", finetune.FinetuneLora),
    ("prune", "width_schema", prune.PruneWidth),
    ("prune", "depth_schema", prune.PruneDepth),
    ("prune", "combined_schema", prune.PruneCombined),
    ("distill", "logits_schema", distill.DistillLogits),
    ("quantize", "gguf_schema", quantize.QuantizeGguf),
    ("quantize", "gguf_mixed_schema", quantize.QuantizeGgufMixed),
    ("quantize", "gguf_gptq_schema", quantize.QuantizeGgufGptq),
    ("quantize", "optimum_gptq_schema", quantize.QuantizeOptimumGptq),
    ("quantize", "bnb_schema", quantize.QuantizeBnb),
    ("quantize", "openvino_schema", quantize.QuantizeOpenvino),
    ("evaluate", "protocol_schema", judge.EvaluateProtocol),
    ("benchmark", "decode_schema", judge.BenchmarkDecode),
    ("compare", "paired_schema", judge.ComparePaired),
    ("ab", "paired_ab_schema", ab.AbPaired),
    ("report", "page_schema", judge.ReportPage),
    ("package", "folder_schema", judge.PackageFolder),
)
BY_TARGET = {schema._target_: schema for _, _, schema in OPTIONS}


def register() -> None:
    """Put every schema into Hydra's ConfigStore, and the resolver that stamps params.yaml with the hash of conf/."""
    assert all(is_dataclass(schema) for schema in BY_TARGET.values())
    store = ConfigStore.instance()
    store.store(name="config_schema", node=Config)
    store.store(name="stage_schema", node=Stage)
    for group, name, schema in OPTIONS:
        store.store(group=group, name=name, node=schema)
    OmegaConf.register_new_resolver("conf_sha", conf_sha, replace=True)
