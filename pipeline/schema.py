"""Top level of the configuration and the table of its options (pipeline/options.py). No torch here: DVC imports it too."""

from dataclasses import is_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf
from pydantic.dataclasses import dataclass

from pipeline.conf_sha import conf_sha
from pipeline.options import (
    BenchmarkDecode,
    ComparePaired,
    Count,
    DataAihub,
    DistillLogits,
    EvaluateProtocol,
    FinetuneLora,
    GraphDictionary,
    ModelPretrained,
    ModelTiny,
    Natural,
    PackageFolder,
    PruneDepth,
    PruneFfn,
    PruneHeads,
    QuantizeBnb,
    QuantizeGguf,
    ReportPage,
    SampleFacts,
    Text,
)


@dataclass
class Config:
    """Top level of params.yaml. Group nodes are checked against the dataclass that their `_target_` names."""

    conf_sha: str = "${conf_sha:}"
    seed: Natural = MISSING
    threads: Count = MISSING
    experiment_name: Text = MISSING
    models: list[str] = MISSING
    sample: Any = MISSING
    data: Any = MISSING
    graph: Any = MISSING
    model: Any = MISSING
    finetune: dict[str, Any] = MISSING
    prune: Any = MISSING
    distill: Any = MISSING
    quantize: dict[str, Any] = MISSING
    evaluate: Any = MISSING
    benchmark: Any = MISSING
    compare: Any = MISSING
    report: Any = MISSING
    package: Any = MISSING


@dataclass
class Stage(Config):
    """What an entrypoint gets: params.yaml and the wiring that dvc.yaml puts on the command line."""

    source: str = ""
    target: str = ""
    teacher: str = ""
    node: str = ""


# (config group, schema name, class): conf/<group>/<option>.yaml starts its defaults list with <schema name>.
OPTIONS: tuple[tuple[str, str, type], ...] = (
    ("sample", "facts_schema", SampleFacts),
    ("data", "aihub_schema", DataAihub),
    ("graph", "dictionary_schema", GraphDictionary),
    ("model", "tiny_schema", ModelTiny),
    ("model", "pretrained_schema", ModelPretrained),
    ("finetune", "lora_schema", FinetuneLora),
    ("prune", "ffn_schema", PruneFfn),
    ("prune", "heads_schema", PruneHeads),
    ("prune", "depth_schema", PruneDepth),
    ("distill", "logits_schema", DistillLogits),
    ("quantize", "gguf_schema", QuantizeGguf),
    ("quantize", "bnb_schema", QuantizeBnb),
    ("evaluate", "protocol_schema", EvaluateProtocol),
    ("benchmark", "decode_schema", BenchmarkDecode),
    ("compare", "paired_schema", ComparePaired),
    ("report", "page_schema", ReportPage),
    ("package", "folder_schema", PackageFolder),
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
