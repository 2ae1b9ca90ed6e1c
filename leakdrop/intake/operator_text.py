"""The operator's own page text: Markdown, made HTML and cleaned at start (docs/adr/0008).

bleach's one job is here. It never meets a byte from a source: what sources send is never shown on a page.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import bleach
import markdown
from markupsafe import Markup

from leakdrop.errors import ConfigError

SHIPPED = Path(__file__).parent / "safety.md"

# No heading above h2: the page has its own. No image: it would be asked for elsewhere, or betray who looks.
TAGS = frozenset({"h2", "h3", "p", "br", "hr", "ul", "ol", "li", "strong", "em", "code", "blockquote", "a"})
LINKS = ("https://", "http://", "/")


def read_operator_text(path: Path | None) -> Markup:
    """The text in the operator's file, or else the one that is shipped, as safe HTML.

    What is not allowed is shown as it was written, so that the operator sees it. Raises ConfigError.
    """
    path = path or SHIPPED
    try:
        text = path.read_text("utf-8-sig")  # editors on Windows begin with a byte order mark
    except UnicodeDecodeError:
        raise ConfigError(f"safety_text: {path} is not a text in UTF-8: save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"safety_text: {path} cannot be read: {error.strerror}.") from None
    return clean(text)


def clean(text: str) -> Markup:
    """Markdown as HTML that holds only TAGS, and of attributes only those of links."""
    cleaner = bleach.Cleaner(
        tags=TAGS, attributes={"a": _is_link}, protocols={"http", "https"}, filters=[_without_referrer]
    )
    return Markup(cleaner.clean(markdown.markdown(text)))  # noqa: S704 - this is what makes it safe


def _is_link(_tag: str, attribute: str, address: str) -> bool:
    """Stricter than bleach's own rule, which lets through whatever it takes for a relative address."""
    return attribute == "href" and address.lower().startswith(LINKS)


def _without_referrer(source: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A filter of bleach's, for the tokens of a cleaned text: no link tells the other site where it stood."""
    for token in source:
        if token["type"] == "StartTag" and token["name"] == "a":
            token["data"][None, "rel"] = "noreferrer"
        yield token
