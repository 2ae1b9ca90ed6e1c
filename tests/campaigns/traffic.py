"""What a network observer sees of kinds of visit: `make traffic`.

    python -m tests.campaigns.traffic [--runs N] [--write]

Each kind is visited several times by Firefox, and every byte is counted on its way. "Equal to" names an
earlier kind whose requests and answers have exactly the same sizes, in every run.
"""

import hashlib
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from leakdrop.envelope.receipt import derive_receipt
from leakdrop.intake.words import encode_words
from tests.campaigns.proof import make_parser, report
from tests.keys import public_key_file
from tests.recorder import Recorder, Shape
from tests.replies import seal_reply, store_reply
from tests.site import Site, make_test_site
from tests.torbrowser import TorBrowser
from tests.visits import MIB, Visitor, ask, noise, read, send, submit_form

TITLE = "Traffic shape"
# Of each of these beginnings all kinds must look alike.
ALIKE = (("sends a message of", "sends a message in"), ("asks for replies; up to three",))
REPLIES = {
    0: "asks for replies; up to three: none",
    1: "asks for replies; up to three: one",
    3: "asks for replies; up to three: three",
    4: "asks for replies; four",
}
TEXT = """
`make traffic`: Firefox with Tor Browser's settings visits a site, and every byte is counted on the wire
between them, each kind of visit several times. “Equal to” names an earlier kind with exactly the same
sizes of all requests and answers. Over Tor less can be seen: connections share circuits, and bytes
travel in cells of 514 bytes. Script and style, which Firefox keeps after the first page, were there
already.

What remains visible: that a page was read, or that something was sent; the padded size of what was sent
(one of 448 classes up to 3.94 GiB, the default limit: 8.8 bits at most; a message of up to 256 KiB
without files is in the smallest); that replies were asked for, and how many times 1 MiB the answer has:
one time for none and up to three replies of text; how long it took; and, of the form without JavaScript,
the size of what was typed and chosen, to the byte, which no page without script can hide.
"""


def kinds(folder: Path, site: Site) -> dict[str, tuple[str, Callable[[Visitor], None]]]:
    """By name: at which level, and what is done."""
    one = noise(folder / "talk.m4a", 10 * MIB)
    many = [noise(folder / f"{number}.jpg", 2 * MIB) for number in range(5)]
    photo = noise(folder / "photo.jpg", 3 * MIB)
    page, plain = "standard", "safest"
    visits = {
        "reads the first page": (page, read("")),
        "reads the first page and “Staying safe”": (page, read("", "safety")),
        "reads the key, and takes it": (page, read("key", "key/all.pub")),
        "sends a message of 1 letter": (page, send("x")),
        "sends a message of 200,000 letters": (page, send("What I heard. " * 14_286)),
        "sends a message in Urdu, about another kind": (page, send("ورکشاپ کی ریکارڈنگ " * 100, kind=2)),
        "sends a message and a photo of 3 MiB": (page, send("m", photo)),
        "sends a recording of 10 MiB": (page, send("", one)),
        "sends five files of 2 MiB": (page, send("m", *many)),
        "form without JavaScript: a message of 1 letter": (plain, submit_form("x")),
        "form without JavaScript: a message of 1,000 letters": (plain, submit_form("x" * 1_000)),
        "form without JavaScript: a photo of 3 MiB": (plain, submit_form("", photo)),
    }
    visits["reads the page of replies"] = (page, read("replies"))
    for number, name in REPLIES.items():
        visits[name] = (page, ask(store_replies(site, number)))
    return visits


def store_replies(site: Site, number: int) -> str:
    """So many replies for a source, each of 50,000 letters and more; and the source's words."""
    entropy = hashlib.sha256(f"leakdrop traffic: {number} replies".encode()).digest()[:16]
    receipt = derive_receipt(entropy)
    for each in range(number):
        envelope = seal_reply(receipt.key_pair.public, "Thank you. " * 5_000 * (each + 1))
        store_reply(site, receipt.mailbox, envelope)
    return " ".join(encode_words(entropy))


def watch(site: Site, folder: Path, runs: int) -> dict[str, list[Shape]]:
    seen: dict[str, list[Shape]] = {}
    visits = kinds(folder, site)
    for level in ("standard", "safest"):
        with TorBrowser(level) as browser, Recorder(site.port) as recorder:
            visitor = Visitor(browser, recorder)
            for path in ("key", "replies", ""):  # what Firefox keeps of the first visit is there for all
                visitor.visit(read(path))
            for name, (at, act) in visits.items():
                if at == level:
                    seen[name] = [visitor.visit(act) for _ in range(runs)]
    return seen


def describe(seen: dict[str, list[Shape]]) -> list[tuple[object, ...]]:
    rows, known = [], {}
    for name, shapes in seen.items():
        sizes = {shape.exchanges for shape in shapes}
        twin = next((other for other, others in known.items() if sizes == others), "")
        known[name] = sizes
        first = shapes[0]
        seconds = statistics.median(shape.seconds for shape in shapes)
        steady = "yes" if len(sizes) == 1 else "no"
        rows.append(
            (name, len(first.exchanges), f"{first.up:,}", f"{first.down:,}", f"{seconds:.1f}", steady, twin)
        )
    return rows


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="visits of each kind (3)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leakdrop-traffic-") as scratch:
        folder = Path(scratch)
        site = make_test_site(folder / "site", [public_key_file("alice")])
        site.start()
        try:
            seen = watch(site, folder, given.runs)
        finally:
            site.stop()
    head = (
        "a source …",
        "requests",
        "bytes up",
        "bytes down",
        "seconds",
        "always the same",
        "equal to",
    )
    report(TITLE, TEXT, head, describe(seen), write=given.write)
    return not all(look_alike(seen, beginnings) for beginnings in ALIKE)


def look_alike(seen: dict[str, list[Shape]], beginnings: tuple[str, ...]) -> bool:
    """Whether all visits of these kinds had the same sizes."""
    alike = [shapes for name, shapes in seen.items() if name.startswith(beginnings)]
    return len({shape.exchanges for shapes in alike for shape in shapes}) == 1


if __name__ == "__main__":
    sys.exit(main())
