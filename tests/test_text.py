"""Tokens, sizes, clipping and harmless output."""

from __future__ import annotations

import pytest

from agentmem.text import clip, estimate_tokens, printable, tokens, well_formed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("getURLFor2", ["geturlfor2", "get", "url", "for", "2"]),
        ("snake_case", ["snake_case", "snake", "case"]),
        ("HTTPServer", ["httpserver", "http", "server"]),
        ("plain words", ["plain", "words"]),
        ("app.json.dumps", ["app.json.dumps", "app", "json", "dumps"]),
        ("__init__", ["__init__", "init"]),
        ("x = y+1.5", ["x", "y", "1", "5"]),
        ("déjàVu", ["déjàvu"]),
        ("End. Next", ["end", "next"]),
        ("_", ["_"]),
        ("", []),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def test_estimate_is_near_what_tokenizers_count() -> None:
    # Counts by cl100k_base, a tokenizer in wide use.
    samples = {
        "def wsgi_app(self, environ: dict, start_response) -> Any:\n    return response(environ)\n": 21,
        "The quick brown fox jumps over the lazy dog, and nobody minds at all.": 16,
        "日本語のテキスト": 10,
    }
    for text, exact in samples.items():
        assert 0.7 * exact <= estimate_tokens(text) <= 1.4 * exact, (text, estimate_tokens(text))
    assert estimate_tokens("") == 0
    assert estimate_tokens("a" * 6000) >= 1000


def test_clip_says_what_is_gone() -> None:
    text = "0123456789"
    assert clip(text, 10) == text
    assert clip(text, 4, "head") == "0123\n[... 6 characters left out ...]"
    assert clip(text, 4, "tail") == "[... 6 characters left out ...]\n6789"
    assert clip(text, 4) == "01\n[... 6 characters left out ...]\n89"
    assert clip(text, 0) == "\n[... 10 characters left out ...]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain\n\ttext é 😀\n", "plain\n\ttext é 😀\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://evil\x1b\\link", "link"),
        ("a\rb\r\nc\x08\x00", "a\\x0db\nc\\x08\\x00"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("bare \x1b escape\x9b", "bare \\x1b escape\\x9b"),
        ("family 👨\u200d👩", "family 👨\u200d👩"),
        ("\udcff", "\\udcff"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_lone_surrogates_are_replaced_wherever_they_are() -> None:
    value = {"a\ud83d": ["é\udce9", 1, None, "\U0001f600"], "b": {"c": "plain"}}
    assert well_formed(value) == {"a\ufffd": ["é\ufffd", 1, None, "\U0001f600"], "b": {"c": "plain"}}
