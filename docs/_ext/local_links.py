"""Check that every link within the built pages leads somewhere.

Sphinx checks references that it resolves itself. This looks at the finished HTML:
links of the theme, of the gallery and of raw HTML too, pictures in all resolutions,
downloads, and the places within a page that links jump to.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class Page(HTMLParser):
    """What a page offers to jump to, and where its links and pictures point.

    Parameters
    ----------
    text : str
        The page as HTML.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take in the ids and the links of a tag."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (name == "name" and tag == "a"):
                self.places.add(value)
            elif name in {"href", "src"}:
                self.links.append(value)
            elif name == "srcset":
                self.links += [part.split()[0] for part in value.split(",")]


def broken_links(folder: Path) -> Iterator[tuple[str, str]]:
    """Find links between the pages of a folder that lead nowhere.

    Parameters
    ----------
    folder : Path
        Of built HTML.

    Yields
    ------
    page : str
        Path of the page, relative to the folder.
    link : str
        The link as it stands there.
    """
    # The theme's static files include a template that is no page.
    paths = sorted(set(folder.rglob("*.html")) - set(folder.glob("_static/**/*.html")))
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue  # another site, mail, or data
            target = path
            if url.path:
                target = (path.parent / unquote(url.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            is_there = target.is_file()
            if is_there and url.fragment and target in pages:
                is_there = unquote(url.fragment) in pages[target].places
            if not is_there:
                yield path.relative_to(folder).as_posix(), link


def check(app: Sphinx, exception: Exception | None) -> None:
    """Warn of every broken link, once all pages are written."""
    from sphinx.util.logging import getLogger

    if exception is None and app.builder.format == "html":
        for page, link in broken_links(Path(app.outdir).resolve()):
            getLogger(__name__).warning("%s: the link %r leads nowhere", page, link)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the check; Sphinx calls this."""
    app.connect("build-finished", check)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
