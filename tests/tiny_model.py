"""A model file of random weights, small enough to be made for each run of the tests: it babbles.

A token is a byte, so that the tests can count tokens themselves. The weights are random from a fixed seed;
only the odds of single bytes at the output are set, so that replies are short enough to end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

WINDOW = 16384  # tokens, as written into the file
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "

_WIDTH, _HEADS, _INNER, _LAYERS = 32, 4, 64, 2
_END = 256  # the token after those of the 256 bytes
_SEED = 1
_NEVER = -30.0


def write_model(path: Path) -> None:
    """A GGUF file of the llama architecture for llama.cpp: some 200 KB, a byte-level vocabulary."""
    from gguf import GGUFWriter, TokenType

    writer = GGUFWriter(path, "llama")
    writer.add_context_length(WINDOW)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([_letter(byte) for byte in range(256)] + ["<|end|>"])
    writer.add_token_types([TokenType.NORMAL] * 256 + [TokenType.CONTROL])
    # The list may not be empty; these two bytes never stand in UTF-8.
    writer.add_token_merges([f"{_letter(0xFE)} {_letter(0xFF)}"])
    writer.add_eos_token_id(_END)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, weights in _weights().items():
        writer.add_tensor(name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _weights() -> dict[str, Any]:
    """Random matrices; but no layer writes the first number of a state, which bears the odds at the end."""
    import numpy as np

    random = np.random.default_rng(_SEED)

    def matrix(rows: int, columns: int, size: float = _WIDTH**-0.5) -> Any:
        return (random.standard_normal((rows, columns)) * size).astype(np.float32)

    ones = np.ones(_WIDTH, dtype=np.float32)
    embedding, output = matrix(_END + 1, _WIDTH, 1), matrix(_END + 1, _WIDTH, _WIDTH**-0.5 / 2)
    embedding[:, 0], output[:, 0] = 1, _odds()
    weights = {"token_embd.weight": embedding, "output.weight": output, "output_norm.weight": ones}
    for layer in range(_LAYERS):
        for name in ("attn_q", "attn_k", "attn_v"):
            weights[f"blk.{layer}.{name}.weight"] = matrix(_WIDTH, _WIDTH)
        for name in ("ffn_gate", "ffn_up"):
            weights[f"blk.{layer}.{name}.weight"] = matrix(_INNER, _WIDTH)
        for name, columns in (("attn_output", _WIDTH), ("ffn_down", _INNER)):
            weights[f"blk.{layer}.{name}.weight"] = matrix(_WIDTH, columns)
            weights[f"blk.{layer}.{name}.weight"][0] = 0
        weights[f"blk.{layer}.attn_norm.weight"] = weights[f"blk.{layer}.ffn_norm.weight"] = ones
    return weights


def _odds() -> list[float]:
    """What is added for each token: bytes outside of ASCII and the end are left to the grammar."""
    odds = [0.0] * 128 + [_NEVER] * 129
    odds[ord("<")] = odds[ord("/")] = 3.0
    return odds


def _letter(byte: int) -> str:
    """The letter that stands for a byte in a vocabulary of this kind."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return chr(byte if byte in visible else 256 + hidden.index(byte))
