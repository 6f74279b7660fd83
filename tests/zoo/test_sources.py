import json

import pytest

from madstar.errors import GraphError
from madstar.zoo import load
from madstar.zoo.shrink import shrink

TINY = "num_hidden_layers=3&hidden_size=32&intermediate_size=48&num_attention_heads=4&vocab_size=99"


def test_a_type_with_settings_is_built_without_weights() -> None:
    model = load(f"hf:llama?{TINY}")
    assert {parameter.device.type for parameter in model.module.parameters()} == {"meta"}
    assert not model.module.training
    assert len(model.module.layers) == 3
    assert model.config.use_cache is False


def test_a_shallow_model_keeps_every_kind_of_layer() -> None:
    from transformers import Qwen3NextConfig

    config = Qwen3NextConfig(num_hidden_layers=8)
    kinds = set(config.layer_types)
    shrink(config)
    assert set(config.layer_types) == kinds
    assert config.num_hidden_layers == len(config.layer_types) < 8


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(GraphError, match=r"nearest: .*llama"):
        load("hf:lama")
    with pytest.raises(GraphError, match=r"nearest: .*resnet18"):
        load("timm:resnet_18")
    with pytest.raises(GraphError, match="names no model"):
        load("llama")
    with pytest.raises(GraphError, match="hidden_size"):
        load("hf:llama?hiden_size=3")


def test_a_config_file_or_its_folder(tmp_path) -> None:
    settings = {"model_type": "gpt2", "n_layer": 2, "n_embd": 16, "n_head": 2, "vocab_size": 50}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    for address in (f"hf:{tmp_path}", f"hf:{tmp_path}/config.json"):
        assert sum(p.numel() for p in load(address).module.parameters()) > 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "not an object"),
        ("{}", "model_type"),
        ('{"model_type": "lamma"}', "nearest"),
        ('{"model_type": "own", "auto_map": {"AutoModel": "code.Evil"}}', "not run"),
        ('{"model_type": "llama", "num_attention_heads": 0}', "cannot be built"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_config_is_one_line(tmp_path, text: str, said: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(GraphError, match=said) as caught:
        load(f"hf:{tmp_path}/config.json")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_missing_package(tmp_path) -> None:
    with pytest.raises(GraphError, match="no such file"):
        load(f"hf:{tmp_path}/nothing.json")
    with pytest.raises(GraphError, match="needs the package natten"):
        load("hf:dinat")
