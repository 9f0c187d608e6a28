"""Ranking places: words, tracebacks, names, paths and the prior of memory."""

from __future__ import annotations

from agentmem.code.clues import find_clues
from agentmem.code.locate import locate, search
from tests.test_index import build

FILES = {
    "src/shop/cart.py": '''"""The cart."""
from shop.tax import rate

class Cart:
    def total(self):
        """Sum of all prices, with tax."""
        return sum(self.prices) * rate(self.country)

    def addItem(self, item):
        self.prices.append(item.price)
''',
    "src/shop/tax.py": "RATES = {}\n\n\ndef rate(country):\n    return 1 + RATES[country]\n",
    "src/shop/mail/__init__.py": "def send(address, body):\n    connect().post(address, body)\n",
    "src/shop/json/__init__.py": "def dumps(value):\n    return encode(value)\n",
    "src/shop/constants.py": "# Countries and their currency symbols\nCURRENCY = {'de': 'euro'}\n",
    "src/shop/stock.py": "class Stock:\n    def total(self):\n        return len(self.shelf)\n",
    "tests/test_cart.py": "from shop.cart import Cart\ndef test_tax():\n    assert Cart().total() == 0\n",
    "docs/cart.rst": "The cart computes the total of all prices with tax. Cart total, tax, total.\n",
}
TRACEBACK = """Traceback (most recent call last):
  File "/home/me/run.py", line 3, in <module>
    main()
  File "/usr/lib/python3.11/site-packages/shop/cart.py", line 7, in total
    return sum(self.prices) * rate(self.country)
  File "/usr/lib/python3.11/site-packages/shop/tax.py", line 5, in rate
    return 1 + RATES[country]
  File "/usr/lib/python3.11/json/__init__.py", line 2, in dumps
  File "/usr/lib/python3.11/site-packages/other/stock.py", line 2, in total
KeyError: 'fr'
"""
INDEX = build(FILES)


def best(text: str, **options: object) -> tuple[str, str | None]:
    hit = locate(INDEX, text, **options)[0]  # type: ignore[arg-type]
    return hit.path, hit.symbol


def test_words_find_the_method_and_source_stands_before_tests_and_docs() -> None:
    hits = locate(INDEX, "The sum of all prices in the cart is wrong once tax is added")
    assert (hits[0].path, hits[0].symbol, hits[0].kind) == ("src/shop/cart.py", "Cart.total", "method")
    assert (hits[0].start, hits[0].end) == (5, 7)
    order = [hit.path for hit in locate(INDEX, "cart total tax", level="file")]
    assert order.index("src/shop/cart.py") < order.index("tests/test_cart.py")
    assert order.index("src/shop/cart.py") < order.index("docs/cart.rst")


def test_traceback_frames_are_mapped_and_the_innermost_leads() -> None:
    clues = find_clues(TRACEBACK, INDEX.files)
    assert [(frame.path, frame.line, frame.depth) for frame in clues.frames] == [
        ("src/shop/tax.py", 5, 0),
        ("src/shop/cart.py", 7, 1),
    ]
    hits = locate(INDEX, f"It breaks.\n{TRACEBACK}")
    assert [(hit.path, hit.symbol) for hit in hits[:2]] == [
        ("src/shop/tax.py", "rate"),
        ("src/shop/cart.py", "Cart.total"),
    ]
    assert "traceback frame at line 5" in hits[0].reasons


def test_other_forms_of_frames() -> None:
    assert [f.line for f in find_clues("src/shop/tax.py:5: KeyError", INDEX.files).frames] == [5]
    assert [f.path for f in find_clues("shop\\tax.py:12: in rate", INDEX.files).frames] == ["src/shop/tax.py"]
    assert find_clues('File "<string>", line 1, in f', INDEX.files).frames == []


def test_quoted_and_dotted_names_lead_to_their_definitions() -> None:
    assert best("Calling `addItem` twice fails") == ("src/shop/cart.py", "Cart.addItem")
    assert best("Stock.total is wrong") == ("src/shop/stock.py", "Stock.total")
    assert best("shop.mail.send never returns") == ("src/shop/mail/__init__.py", "send")


def test_a_named_path_leads_even_to_tests() -> None:
    assert best("Look at src/shop/constants.py please") == ("src/shop/constants.py", None)
    hits = locate(INDEX, "tests/test_cart.py fails", level="file")
    assert hits[0].path == "tests/test_cart.py"
    assert any("path is named" in reason for reason in hits[0].reasons)


def test_the_prior_moves_a_file_up_and_says_why() -> None:
    text = "the total is wrong"
    before = [hit.path for hit in locate(INDEX, text, level="file")]
    after = locate(INDEX, text, level="file", prior={"src/shop/constants.py": 40.0, "gone.py": 50.0})
    moved = next(hit for hit in after if hit.path == "src/shop/constants.py")
    assert "changed by similar repairs" in moved.reasons
    assert "src/shop/constants.py" not in before
    assert locate(INDEX, text, prior={}) == locate(INDEX, text)


def test_limits_and_nothing_to_find() -> None:
    assert len(locate(INDEX, "total tax cart price", limit=2)) == 2
    assert locate(INDEX, "") == []
    assert locate(INDEX, "zzzz qqqq") == []
    assert locate(build({}), "anything `at_all` in x.py:3") == []
    assert locate(INDEX, "word " * 200_000 + "`rate`", limit=3) == []  # what lies beyond the cap is not read


def test_one_file_does_not_fill_the_list() -> None:
    many = "\n".join(f"def handler_{n}(request):\n    return request\n" for n in range(50))
    index = build({"a.py": many, "b.py": "def handler(request):\n    return request\n"})
    hits = locate(index, "handler of request", limit=8)
    assert {hit.path for hit in hits} == {"a.py", "b.py"}
    assert sum(hit.path == "a.py" for hit in hits) == 3


def test_search_by_name_words_or_path() -> None:
    assert (search(INDEX, "addItem", 3)[0].symbol, len(search(INDEX, "total", 2))) == ("Cart.addItem", 2)
    assert search(INDEX, "tax rate of a country")[0].path == "src/shop/tax.py"
    assert search(INDEX, "mail/__init__.py")[0].path == "src/shop/mail/__init__.py"
