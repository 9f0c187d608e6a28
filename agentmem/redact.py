"""Keeping secrets out of what is written: known values of the environment, and the shapes of keys."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

SHORTEST = 8  # shorter values are words as often as secrets, and redacting words would ruin a log
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL", re.IGNORECASE)
# Every repetition is bounded or cannot begin again where it ended: hostile output must not take for ever.
_SHAPES = re.compile(
    r"(?P<prefix>\bBearer\s+)(?P<bearer>[A-Za-z0-9._~+/-]{16,}=*)"
    r"|(?<![A-Za-z0-9_-])(?:"
    r"(?P<sk>sk-(?=[A-Za-z_-]{0,60}\d)[A-Za-z0-9_-]{20,})"
    r"|(?P<github>gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"
    r"|(?P<aws>A[KS]IA[0-9A-Z]{16})(?![A-Za-z0-9])"
    r"|(?P<google>AIza[0-9A-Za-z_-]{35})"
    r"|(?P<slack>xox[abeoprs]-[A-Za-z0-9-]{10,})"
    r"|(?P<huggingface>hf_[A-Za-z0-9]{30,})"
    r")"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"(?P<pem>(?:(?!-----BEGIN)[\s\S]){1,20000}?)"
    r"-----END [A-Z ]*PRIVATE KEY-----"
)


class Redactor:
    """Replaces secrets by `[redacted NAME]`. Redacting twice changes nothing."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        """`secrets` maps a name, which is shown, to the value, which is not."""
        forms = {form: name for name, value in (secrets or {}).items() for form in _forms(value)}
        self._names = forms
        # The longest first, so that a secret that holds another one goes as a whole.
        ordered = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if forms else None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Redactor:
        """Takes every variable whose name looks like a secret and whose value is 8 characters or longer."""
        return cls({k: v for k, v in environ.items() if _SECRET_NAME.search(k) and len(v) >= SHORTEST})

    def known(self, text: str) -> str:
        """The text without the known values; texts that only look like keys stay."""
        if self._known is None:
            return text
        return self._known.sub(lambda match: f"[redacted {self._names[match[0]]}]", text)

    def text(self, text: str) -> str:
        """The text without known values and without anything that has the shape of a key."""
        return _SHAPES.sub(_shape, self.known(text))

    def data(self, value: Any, clean: Callable[[str], str] | None = None) -> Any:
        """`clean` (or else `text`) of every string in a JSON-like value, keys of mappings included."""
        clean = clean or self.text
        if isinstance(value, str):
            return clean(value)
        if isinstance(value, Mapping):
            return {clean(str(key)): self.data(item, clean) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item, clean) for item in value]
        return value


def _shape(match: re.Match[str]) -> str:
    kind = next(k for k, v in match.groupdict().items() if v is not None and k != "prefix")
    return f"{match['prefix'] or ''}[redacted {kind}]"


def _forms(value: str) -> set[str]:
    """The value as it may stand in JSON, a URL, base64 (at any alignment) or hexadecimal text."""
    raw = value.encode("utf-8", "surrogateescape")
    forms = {value, value.strip(), json.dumps(value)[1:-1], quote(raw, safe=""), quote_plus(raw), raw.hex()}
    for offset in range(3):
        padded = b"\0" * offset + raw
        # Only the characters that depend on the secret alone.
        inner = slice(-(-offset * 8 // 6), len(padded) * 8 // 6)
        forms |= {base64.b64encode(padded).decode()[inner], base64.urlsafe_b64encode(padded).decode()[inner]}
    return {form for form in forms if len(form) >= SHORTEST}
