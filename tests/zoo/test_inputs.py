"""Small models of each family, from address to graph."""

import pytest
import torch

from madstar.errors import GraphError
from madstar.graph import build, trace
from madstar.zoo import load
from madstar.zoo.inputs.choose import choose
from madstar.zoo.inputs.trial import attempt
from madstar.zoo.tracing import trace_model
from madstar.zoo.values import KnownValues

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


class Shifted(torch.nn.Module):
    """Writes into what it made, as decoders do that shift their targets: whole numbers that are known."""

    def forward(self, ids: torch.Tensor, sizes: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        shifted = ids.new_zeros(ids.shape)
        shifted[:, 1:] = ids[:, :-1].clone()
        shifted[:, 0] = 2
        rows = torch.empty_like(x)
        for row, size in enumerate(sizes.tolist()):
            rows[row, :size] = x[row, :size] * 2
            rows[row, size:] = x[row, 0]
        return rows * shifted.unsqueeze(-1)


def test_writes_into_views_of_known_values_are_in_the_graph() -> None:
    def inputs(batch: int) -> dict[str, torch.Tensor]:
        return {
            "ids": torch.arange(batch * 4).reshape(batch, 4),
            "sizes": torch.tensor([3, 4, 1, 2, 4])[:batch],
            "x": torch.randn(batch, 4, 5),
        }

    known = KnownValues(Shifted())
    with torch.no_grad(), known:
        graph = trace(
            Shifted(),
            lambda: known.known(inputs(2) | {"x": torch.empty(2, 4, 5, device="meta")}),
            symbols={},
            guess=False,
        )
    given = inputs(2)
    assert torch.equal(build(graph)(**given), Shifted()(**given))


def test_what_is_written_into_a_view_is_known_of_the_whole_and_no_more_if_it_is_unknown() -> None:
    known, unknown = KnownValues(torch.nn.Identity()), torch.empty(2, device="meta")
    with known:
        whole = torch.zeros(4, dtype=torch.int64, device="meta")
        part = whole[1:3]
        part += 5
        assert whole.tolist() == [0, 5, 5, 0]
        part.copy_(unknown)
        assert known.value(whole) is None
        assert known.value(part) is None
