"""Real files, made on the spot: speech by espeak-ng, recordings by ffmpeg, metadata by exiftool."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

SPEECH = (
    "Welcome to this workshop raising awareness of Prevent. "
    "Today we talk about what you may notice in the people you care for, and whom you are asked to tell. "
)
ARABIC = (
    "شهادة\nحضرتُ ورشةً في المستشفى يوم الثلاثاء، وسُئلنا أن نراقب مرضانا.\nاردو: میں نے یہ سب خود سنا ہے۔\n"
)
MINUTES = 40


@dataclass(frozen=True)
class Recordings:
    """Where the files lie."""

    folder: Path
    talk: Path  # 40 minutes of speech, AAC, mono
    photo: Path  # JPEG with EXIF and a place
    slides: Path  # PDF
    video: Path  # H.264 with sound
    testimony: Path  # text in Arabic and Urdu, under an Arabic name

    def all(self) -> list[Path]:
        return [self.talk, self.photo, self.slides, self.video, self.testimony]


def make_recordings(folder: Path) -> Recordings:
    made = Recordings(
        folder,
        folder / "WRAP training Tuesday.m4a",
        folder / "IMG_20261117_101502.jpg",
        folder / "slides.pdf",
        folder / "VID_0001.mp4",
        folder / "شهادة.txt",
    )
    _make_talk(made.talk)
    _make_photo(made.photo)
    made.slides.write_bytes(make_pdf(["Prevent", "Notice. Check. Share.", "Whom to tell"]))
    _make_video(made.video)
    made.testimony.write_text(ARABIC)
    return made


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def _ffmpeg(*words: object) -> None:
    _run("ffmpeg", "-nostdin", "-loglevel", "error", "-y", *words)


def _make_talk(path: Path) -> None:
    speech, minute = path.with_suffix(".wav"), path.with_suffix(".minute.m4a")
    _run("espeak-ng", "-w", speech, SPEECH * 8)
    _ffmpeg("-stream_loop", "-1", "-i", speech, "-t", "60", "-ac", "1", "-c:a", "aac", "-b:a", "64k", minute)
    _ffmpeg("-stream_loop", str(MINUTES - 1), "-i", minute, "-c", "copy", path)
    speech.unlink()
    minute.unlink()


def _make_photo(path: Path) -> None:
    _ffmpeg("-f", "lavfi", "-i", "testsrc=size=3264x2448", "-frames:v", "1", "-q:v", "3", path)
    place = ["-GPSLatitude=51.5007", "-GPSLatitudeRef=N", "-GPSLongitude=0.1246", "-GPSLongitudeRef=W"]
    camera = ["-Make=Fairphone", "-Model=FP5", "-DateTimeOriginal=2026:11:17 10:15:02"]
    _run("exiftool", "-q", "-overwrite_original", *place, *camera, path)


def _make_video(path: Path) -> None:
    picture, sound = "testsrc=size=640x360:rate=25:duration=4", "sine=frequency=300:duration=4"
    _ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-pix_fmt", "yuv420p", path)


def make_pdf(slides: list[str]) -> bytes:
    """A PDF with a page for each slide (ISO 32000-1, section 7.5)."""
    pages = [3 + 2 * number for number in range(len(slides))]
    kids = " ".join(f"{number} 0 R" for number in pages)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(slides)}>>".encode(),
    ]
    font = "<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    for number, slide in zip(pages, slides, strict=True):
        page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 720 540]/Resources{font}/Contents {number + 1} 0 R>>"
        text = f"BT /F 48 Tf 60 260 Td ({slide}) Tj ET".encode()
        objects += [page.encode(), b"<</Length %d>>stream\n%s\nendstream" % (len(text), text)]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(body))
    return body + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + trailer
