"""One dataclass a config option, found by its `_target_`: the knobs of that function, their types and ranges. No torch here.

Fields have no defaults: values live in conf/ alone. Ranges are checked by pydantic when a stage reads params.yaml.
"""
