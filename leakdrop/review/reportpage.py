"""A report as a page: one file of HTML without script, without anything that is loaded.

All that an envelope claims goes through `visible` and is escaped.
"""

import base64
import hashlib
import html
from typing import Any

from leakdrop.review.listing import SEALED_WORDS, enumerate_names
from leakdrop.review.twins import WHY
from leakdrop.terminal import count, group_fingerprint, human_size, visible

FORMAT = "leakdrop report 2"
KIB = 1024

STYLE = """
:root { color-scheme: light dark; background: Canvas; color: CanvasText; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: start; vertical-align: top; padding: .35rem .8rem .35rem 0; }
tr > * { border-bottom: 1px solid #8886; }
th { font-weight: 600; white-space: nowrap; }
code { font-size: .9em; overflow-wrap: anywhere; }
.sum { font-size: 1.1rem; padding: .8rem; border: 1px solid #8888; border-radius: .4rem; }
.warn { border-inline-start: .3rem solid #c60; padding-inline-start: .8rem; }
.wide { overflow-x: auto; }
.log td { overflow-wrap: anywhere; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

PROVES = (
    "An envelope with this SHA-256 opened with the key named below. Every byte of it was checked, its "
    "padding too, and it held exactly these files and this message.",
    "Whoever has the same envelope and one of the keys that it is sealed to can check all of this again.",
    "Whoever has the reviewer's .pub file can check that the holder of that key signed this page, and that "
    "nothing of it was changed since.",
)
DOES_NOT_PROVE = (
    "Who sealed the envelope. It carries no sender and no signature.",
    "That it is the envelope which a source sent. Whoever can open an envelope, as each recipient named here "
    "can, can make another with the same header and other contents. So compare the SHA-256 above with that "
    "in a second bundle which was kept independently: the operator's, or another reviewer's.",
    "When it was sealed or sent. The week is what the server wrote into its list, which is not signed. The "
    "times below are those of the reviewer's laptop.",
    "That what it says is true. Names, types, kind, “sealed”, and the dates and other facts inside of files "
    "are claims: anyone can write them.",
    "That nobody else could sign: a signature is as safe as the key, and Ed25519 is not made to withstand "
    "quantum computers.",
)


def write_page(content: dict[str, Any], record_name: str, record_sum: str) -> str:
    """The page of a report, ended by a line end. `record` is the JSON file beside it, with its SHA-256."""
    envelope, signer = content["envelope"], content["signer"]
    body = [
        f"<h1>Report on the envelope {_show(envelope['name'])}</h1>",
        "<p>SHA-256 of the envelope:</p>",
        f'<p class="sum"><code id="envelope-sha256">{_show(envelope["sha256"])}</code></p>',
        _write_warnings(content),
        _write_envelope(content),
        "<h2>What was in it</h2>",
        _write_files(content),
        "<h2>What this proves</h2>",
        _list(PROVES),
        "<h2>What it does not prove</h2>",
        _list(DOES_NOT_PROVE),
        "<h2>What was done</h2>",
        _write_custody(content["custody"]),
        "<h2>Signed by</h2>",
        _write_table(
            [
                ("Key", _show(signer["name"])),
                ("Fingerprint", f"<code>{group_fingerprint(signer['fingerprint'])}</code>"),
                ("Sign key", f"<code>{group_fingerprint(signer['sign'])}</code>"),
                ("Made", f"{_show(content['made']['at'])}, by {_show(content['made']['tool'])}"),
                ("For programs", f"{_show(record_name)}, SHA-256 <code>{_show(record_sum)}</code>"),
            ]
        ),
        "<p>To check it: <code>leakdrop-review verify THIS-FILE --pub NAME.pub</code>, with the .pub file "
        "that the reviewer gave you. Compare fingerprint and sign key with the reviewer, by voice.</p>",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'\">\n"
        f'<meta name="generator" content="{FORMAT}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Report {_show(envelope['sha256'][:16])}</title>\n<style>{STYLE}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def _show(text: str) -> str:
    """Text that runs nothing, hides nothing and moves nothing."""
    return f"<bdi>{html.escape(visible(text))}</bdi>"


def _list(sentences: tuple[str, ...]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def _write_table(rows: list[tuple[str, str]]) -> str:
    lines = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{cell}</td></tr>' for name, cell in rows
    )
    return f"<table>{lines}</table>"


def _write_warnings(content: dict[str, Any]) -> str:
    envelope, warnings = content["envelope"], []
    if envelope["listed_sha256"] not in (None, envelope["sha256"]):
        warnings.append("The bundle's list names another SHA-256 for this envelope.")
    if envelope["twins"]:
        warnings.append(
            "The bundle holds another envelope with the same header, and they are not equal: "
            f"{visible(enumerate_names(envelope['twins']))}. {WHY}"
        )
    if content["unknown_key_ids"]:
        warnings.append("It is also sealed to a key that the reviewer does not know.")
    if content["custody"]["wrong_lines"]:
        warnings.append("The custody log has lines that were changed or cut off.")
    return "".join(f'<p class="warn"><strong>{html.escape(warning)}</strong></p>' for warning in warnings)


def _write_envelope(content: dict[str, Any]) -> str:
    envelope, claims = content["envelope"], content["claims"]
    recipients = "<br>".join(
        f"{_show(one['name']) if one['name'] else 'a key that the reviewer does not know'} "
        f"(<code>{_show(one['key_id'])}</code>)"
        for one in content["recipients"]
    )
    rows = [
        ("Size", f"{envelope['size']:,} bytes"),
        ("Week (server's list)", _show(envelope["week"] or "not listed")),
        ("SHA-256 (server's list)", f"<code>{_show(envelope['listed_sha256'] or 'not listed')}</code>"),
        ("Opened with", f"{_show(content['signer']['name'])} (<code>{_show(content['opened_with'])}</code>)"),
        ("Sealed to", recipients),
        ("Sealed (claim)", html.escape(SEALED_WORDS[claims["sealed"]])),
        ("Kind (claim)", _show(claims["kind"] or "none")),
        ("Replies", "asked for" if content["reply_to"] else "not asked for"),
    ]
    if envelope["copies"]:
        rows.append(("The same again", "<br>".join(map(_show, envelope["copies"]))))
    return _write_table(rows)


def _write_files(content: dict[str, Any]) -> str:
    head = "<tr>" + "".join(f'<th scope="col">{name}</th>' for name in HEADINGS) + "</tr>"
    message = content["message"]
    rows = [("the message", message, "")] if message["size"] else []
    rows += [
        (f"{_show(file['name'])}<br>{_show(file['type'] or 'no type')}", file, _describe_media(file["media"]))
        for file in content["files"]
    ]
    lines = "".join(
        f"<tr><td>{name}</td><td>{_tell_size(file['size'])}</td>"
        f"<td><code>{_show(file['sha256'])}</code></td><td>{facts}</td></tr>"
        for name, file, facts in rows
    )
    return f'<div class="wide"><table>{head}{lines}</table></div>' if rows else "<p>Nothing.</p>"


def _tell_size(size: int) -> str:
    return human_size(size) if size < KIB else f"{human_size(size)} ({size:,} bytes)"


HEADINGS = ("Name and type (claims)", "Size", "SHA-256", "What the file says of itself (claims)")


def _describe_media(media: dict[str, Any]) -> str:
    facts = [media["failure"], media["format"]]
    if media["duration"]:
        facts.append(f"lasts {tell_duration(media['duration'])}")
    if media["codecs"]:
        facts.append(f"codec {', '.join(media['codecs'])}")
    if media["width"]:
        facts.append(f"{media['width']} × {media['height']} pixels")
    facts += [f"{name}: {date}" for name, date in media["dates"].items()]
    if media["has_place"]:
        facts.append("names a place, which is left out here")
    return "<br>".join(_show(fact) for fact in facts if fact)


def tell_duration(seconds: float) -> str:
    """0:40:00.016: hours, minutes, seconds."""
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{int(minutes) // 60}:{int(minutes) % 60:02}:{rest:06.3f}"


DEEDS = {
    "extract": "Extracting",
    "check": "Checking",
    "report": "Reporting",
    "reply": "Replying",
}
LOG_HEADINGS = ("Line", "When (UTC)", "What", "Key that opened", "What was written, and its SHA-256")
SUM_HEADINGS = ("Line", "SHA-256 of the log before it", "SHA-256 of the log with it")


def _write_custody(custody: dict[str, Any]) -> str:
    """The lines on this envelope, and the sums that bind them to the whole log."""
    lines, shown = custody["lines"], len(custody["lines"])
    sums = [
        (str(line["line"]), *(f"<code>{_show(line[sum_])}</code>" for sum_ in ("before", "after")))
        for line in lines
    ]
    return (
        f"{_write_rows(LOG_HEADINGS, list(map(_describe_line, lines)))}"
        f"<p>The custody log of this case had {count(custody['line_count'], 'line')} when this was written. "
        f"{count(shown, 'line')} of it told of this envelope. What the others say is not shown here.</p>"
        "<p>SHA-256 of the whole log as it was then:<br>"
        f'<code id="custody-sha256">{_show(custody["sha256"])}</code></p>'
        "<p>Each line of the log names the SHA-256 of all before it, so none can be changed, removed or put "
        "in without another sum here. Whoever may see the log (custody.jsonl) puts it beside this file, and "
        f"<code>leakdrop-review verify</code> compares them.</p>{_write_rows(SUM_HEADINGS, sums)}"
    )


def _describe_line(line: dict[str, Any]) -> tuple[str, ...]:
    what = html.escape(DEEDS.get(line["did"], "")) or _show(line["did"])
    if line["remark"]:
        what += f": {_show(line['remark'])}"
    wrote = "<br>".join(
        f"{_show(one['file'])}<br><code>{_show(one['sha256'])}</code>" for one in line["wrote"]
    )
    key = f"<code>{_show(line['opened_with'][:32])}</code>" if line["opened_with"] else ""
    when = _show(line["at"].replace("T", " ").removesuffix("Z"))
    return str(line["line"]), when, what, key, wrote


def _write_rows(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide log"><table><tr>{head}</tr>{body}</table></div>'
