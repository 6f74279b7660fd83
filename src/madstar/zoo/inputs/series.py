"""Series and trajectories: past values with their times, states with actions and returns."""

from __future__ import annotations

from collections.abc import Iterator

from madstar.zoo.inputs.facts import Facts, Inputs, whole


def series(facts: Facts, batch: int, length: int) -> Iterator[tuple[str, Inputs]]:
    """Candidates for forecasting models, and for those that act."""
    if facts.takes("past_values"):
        yield from _forecasts(facts, batch)
    if facts.takes("states", "actions"):
        states, actions = facts.number("state_dim", default=17), facts.number("act_dim", default=4)
        yield (
            "trajectory",
            {
                "states": facts.floats(batch, length, states),
                "actions": facts.floats(batch, length, actions),
                "rewards": facts.floats(batch, length, 1),
                "returns_to_go": facts.floats(batch, length, 1),
                "timesteps": whole(batch, length),
                "attention_mask": whole(batch, length),
            },
        )
    if facts.takes("action_embeds"):
        width = facts.number("hidden_size", place="text", default=1024)
        for n in dict.fromkeys((width, 1024, 2048)):
            yield "actions", {"action_embeds": facts.floats(batch, 8, n)}


def _forecasts(facts: Facts, batch: int) -> Iterator[tuple[str, Inputs]]:
    lags = facts.find("lags_sequence", default=[]) or []
    steps = facts.number("context_length", default=128) + max(lags, default=0)
    ahead = facts.number("prediction_length", default=24)
    times = max(facts.number("num_time_features", default=1), 1)
    channels = facts.number("num_input_channels", "input_size", default=1)
    if facts.takes("past_time_features"):
        for n in dict.fromkeys((facts.number("num_time_features", default=0), times)):
            past: Inputs = {
                "past_values": facts.floats(batch, steps),
                "past_time_features": facts.floats(batch, steps, n),
                "past_observed_mask": facts.floats(batch, steps),
            }
            future: Inputs = {
                "future_values": facts.floats(batch, ahead),
                "future_time_features": facts.floats(batch, ahead, n),
            }
            yield f"past and future, {n} of time", past | future
            yield f"past, {n} of time", past
    if facts.takes("past_values_padding"):
        n = facts.number("context_length", default=512)
        yield (
            "padded past",
            {
                "past_values": facts.floats(batch, n),
                "past_values_padding": facts.floats(batch, n + facts.number("horizon_length", default=128)),
                "freq": whole(batch, 1, value=0),
            },
        )
        yield (
            "padded past",
            {
                "past_values": facts.floats(batch, n),
                "past_values_padding": facts.floats(batch, n),
                "freq": whole(batch, 1, value=0),
            },
        )
    for shape in ((batch, steps, channels), (batch, steps), (batch, 512)):
        yield f"past {list(shape)}", {"past_values": facts.floats(*shape)}
