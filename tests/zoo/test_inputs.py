"""Small models of each family, from address to graph."""

import pytest
import torch

from madstar.errors import GraphError
from madstar.zoo import load
from madstar.zoo.inputs.choose import choose
from madstar.zoo.inputs.trial import attempt
from madstar.zoo.tracing import trace_model

SMALL = "hidden_size=32&intermediate_size=48&num_attention_heads=4&num_hidden_layers=2"


@pytest.mark.parametrize(
    "address",
    [
        f"hf:llama?{SMALL}&num_key_value_heads=2&vocab_size=99",
        f"hf:bert?{SMALL}&vocab_size=99",
        f"hf:vit?{SMALL}&image_size=32",
        "hf:t5?d_model=32&d_kv=8&num_heads=4&num_layers=2&d_ff=48&vocab_size=99",
        "hf:whisper?d_model=32&encoder_layers=2&decoder_layers=2&encoder_attention_heads=4"
        "&decoder_attention_heads=4&vocab_size=60000",
        "hf:mamba?hidden_size=32&num_hidden_layers=2&vocab_size=99",
    ],
)
def test_every_parameter_is_reached(address: str) -> None:
    model = load(address)
    chosen = choose(model.module, model.config)
    assert chosen.recipe is not None, chosen.tried
    assert chosen.trial.share == 1


def test_an_image_takes_as_many_tokens_as_it_has_features() -> None:
    model = load("hf:qwen2_vl", shrunk=True)
    chosen = choose(model.module, model.config)
    assert chosen.recipe is not None
    assert chosen.trial.share == 1
    assert {slot.kind: slot.count for slot in chosen.recipe.slots} == {"image": 16, "video": 16}


def test_a_graph_with_symbols_and_the_inputs_it_came_from() -> None:
    traced = trace_model(load(f"hf:llama?{SMALL}&num_key_value_heads=2&vocab_size=99"))
    assert traced.share == 1
    assert set(traced.graph.symbols) == {"batch", "length"}
    assert traced.graph.facts["source"].startswith("hf:llama")


def test_a_forward_that_fails_says_what_was_tried() -> None:
    model = load(f"hf:bert?{SMALL}&vocab_size=99")

    def broken(input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> None:
        raise ValueError("the moon is wrong")

    model.module.forward = broken  # type: ignore[method-assign]
    with pytest.raises(GraphError, match=r"tried text: ids.*the moon is wrong") as caught:
        trace_model(model)
    assert "\n" not in str(caught.value)


def test_known_values_agree_with_a_run_on_the_cpu() -> None:
    class Counts(torch.nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            marked = ids == 3
            places = torch.tensor([1, 2], device=ids.device).cumsum(0)
            chosen = ids[marked] * int(places[-1])
            return torch.cat(
                [chosen, torch.full((int(marked.sum()),), ids.tolist()[0][0], device=ids.device)]
            )

    ids = torch.tensor([[7, 3, 3, 1]])
    real = Counts()(ids)
    trial = attempt(Counts(), {"ids": ids})
    assert trial.error == ""
    assert trial.guesses == 0
    assert trial.output.shape == real.shape
