"""Sample, data and graph."""

from omegaconf import MISSING
from pydantic.dataclasses import dataclass

from pipeline.options.knobs import Count, Natural, Share, Text


@dataclass
class SampleFacts:
    """conf/sample/facts.yaml."""

    _target_: str = "medllm.data.sample.generate.make_sample"
    num_trained_facts: Count = MISSING
    num_heldout_facts: Count = MISSING
    num_maths: Count = MISSING
    num_reading: Natural = MISSING


@dataclass
class DataAihub:
    """conf/data/*.yaml: any folder of archives and tables under data/raw/<name>."""

    _target_: str = "medllm.data.prepare.prepare_data"
    name: Text = MISSING
    metric_prefix: str = MISSING
    max_bad_share: Share = MISSING
    num_calibration: Count = MISSING
    similarity: Share = MISSING
    document_similarity: Share = MISSING
    test_share: Share = MISSING


@dataclass
class GraphDictionary:
    """conf/graph/dictionary.yaml."""

    _target_: str = "medllm.graph.build.write_graph"
