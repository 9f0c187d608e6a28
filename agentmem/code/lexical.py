"""BM25 by bm25s over code-aware tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentmem.text import tokens

_PATH_WEIGHT = 3
_NAME_WEIGHT = 2


def file_words(path: str, text: str, names: Sequence[str]) -> list[str]:
    """The words of a document: its text, with its path and the names it defines counted several times."""
    return tokens(text) + tokens(path) * _PATH_WEIGHT + tokens(" ".join(names)) * _NAME_WEIGHT


class Lexical:
    """Scores of documents, each given as its words, against a query."""

    def __init__(self, documents: Sequence[Sequence[str]]) -> None:
        self._size = len(documents)
        self._model: Any = None
        if any(documents):
            import bm25s

            self._model = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
            self._model.index([list(words) or [""] for words in documents], show_progress=False)

    def scores(self, query: str) -> list[float]:
        """One score per document, the best being 1 (all 0 without a match). A repeated word counts once."""
        words = list(dict.fromkeys(tokens(query)))
        if self._model is None or not words:
            return [0.0] * self._size
        found = self._model.get_scores(words)
        best = float(found.max())
        return [float(score) / best for score in found] if best > 0 else [0.0] * self._size
