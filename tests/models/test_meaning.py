"""The window that a config means, as widely known models and their recipes write it."""

import pytest

from glmcli.models.meaning import stated_window, trained_window

YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}
DEFAULT = {"rope_type": "default", "rope_theta": 1e4}


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({"max_position_embeddings": 8192}, 8192),
        ({"seq_length": 32_768}, 32_768),
        ({"n_positions": 1024}, 1024),
        ({"max_position_embeddings": 1e6}, 1_000_000),
        ({}, None),
        # The recipe of Qwen2.5 and GLM-4-0414: rope_scaling is added, nothing else is edited.
        ({"max_position_embeddings": 32_768, "rope_scaling": YARN}, 131_072),
        ({"max_position_embeddings": 40_960, "rope_scaling": YARN}, 131_072),
        # The wider window is stated too: DeepSeek, gpt-oss, Llama 3.1.
        ({"max_position_embeddings": 131_072, "rope_scaling": YARN}, 131_072),
        (
            {
                "max_position_embeddings": 131_072,
                "rope_parameters": {
                    "rope_type": "llama3",
                    "factor": 32.0,
                    "original_max_position_embeddings": 8192,
                },
            },
            131_072,
        ),
        # Vicuna 16k and its kin.
        (
            {
                "max_position_embeddings": 4096,
                "rope_scaling": {"type": "linear", "factor": 4.0},
            },
            16_384,
        ),
        (
            {
                "max_position_embeddings": 4096,
                "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
            },
            8192,
        ),
        # Where both are there transformers reads rope_scaling, and nothing of the other.
        (
            {"max_position_embeddings": 4096, "rope_scaling": YARN, "rope_parameters": DEFAULT},
            131_072,
        ),
        (
            {
                "max_position_embeddings": 4096,
                "rope_scaling": {"type": "dynamic", "factor": 4.0},
                "rope_parameters": DEFAULT,
            },
            16_384,
        ),
        (
            {"max_position_embeddings": 4096, "rope_scaling": DEFAULT, "rope_parameters": YARN},
            4096,
        ),
        (
            {"max_position_embeddings": 32_768, "rope_scaling": None, "rope_parameters": YARN},
            131_072,
        ),
        # Phi-3: no factor but that of the two windows.
        (
            {
                "max_position_embeddings": 131_072,
                "original_max_position_embeddings": 4096,
                "rope_scaling": {"type": "longrope", "long_factor": [1.0], "short_factor": [1.0]},
            },
            131_072,
        ),
        # Gemma 3: some layers see a part of the text only, and the rest the stated window.
        (
            {
                "max_position_embeddings": 131_072,
                "rope_local_base_freq": 10_000.0,
                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            },
            131_072,
        ),
        (
            {
                "max_position_embeddings": 131_072,
                "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0}},
            },
            131_072,
        ),
        (
            {
                "max_position_embeddings": 4096,
                "rope_scaling": {"rope_type": "default", "factor": 4.0},
            },
            4096,
        ),
    ],
)
def test_a_window_is_as_wide_as_the_net_can_read(config, window):
    assert stated_window(config) == window


def test_the_window_of_the_training_is_known_where_it_is_stated():
    assert trained_window({"max_position_embeddings": 8192}) is None
    assert trained_window({"rope_scaling": YARN}) == 32_768
    assert trained_window({"original_max_position_embeddings": 4096}) == 4096
