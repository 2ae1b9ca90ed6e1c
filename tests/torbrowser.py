"""Firefox ESR set up like Tor Browser at one of its security levels, driven by Marionette.

    with TorBrowser(level="safest") as browser:
        browser.navigate(site.url)
        browser.find_element(By.CSS_SELECTOR, "h1").text

`browser` is a marionette_driver.marionette.Marionette. With a SOCKS port everything the browser sends goes
there, names included; without one it reaches loopback only. NoScript, which does a part of Tor Browser's
levels, is not here: javascript.enabled stands for it at "safest", and at "safer" it lets scripts run on
.onion pages.
"""

import json
import os
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

with warnings.catch_warnings(action="ignore"):  # of a module that it imports
    from marionette_driver.marionette import Marionette

# From Tor Browser's 000-tor-browser.js and 001-base-profile.js.
TOR_BROWSER = {
    "network.dns.disabled": True,
    "network.trr.mode": 5,
    "network.http.http3.enable": False,
    "network.http.referer.hideOnionSource": True,
    "network.http.speculative-parallel-limit": 0,
    "network.prefetch-next": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.cookie.cookieBehavior": 1,
    "dom.securecontext.allowlist_onions": True,
    "dom.security.https_only_mode": True,
    "dom.security.https_only_mode.upgrade_onion": False,
    "dom.serviceWorkers.enabled": False,
    "dom.push.enabled": False,
    "dom.postMessage.sharedArrayBuffer.withCOOP_COEP": False,
    "browser.privatebrowsing.autostart": True,
    "browser.cache.disk.enable": False,
    "privacy.firstparty.isolate": True,
    "privacy.partition.network_state": False,
    "privacy.resistFingerprinting": True,
    "privacy.resistFingerprinting.letterboxing": True,
    "media.peerconnection.enabled": False,
    "webgl.enable-webgl2": False,
    "gfx.offscreencanvas.enabled": False,
    "signon.rememberSignons": False,
    "browser.formfill.enable": False,
    "pdfjs.enableScripting": False,
}
PROXY = {
    "network.proxy.type": 1,
    "network.proxy.socks": "127.0.0.1",
    "network.proxy.socks_remote_dns": True,
    "network.proxy.no_proxies_on": "",
    "network.proxy.allow_hijacking_localhost": True,
    "network.proxy.failover_direct": False,
}
# Firefox has these of its own: Tor Browser is built to open onions, and does without the rest.
FIREFOX = {
    "network.dns.blockDotOnion": False,
    "app.normandy.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.region.update.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.push.serverURL": "",
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "toolkit.telemetry.server": "data:,",
    "marionette.port": 0,
}
# From Tor Browser's SecurityLevel.sys.mjs.
NO_JIT = {
    "javascript.options.ion": False,
    "javascript.options.baselinejit": False,
    "javascript.options.native_regexp": False,
    "javascript.options.asmjs": False,
    "javascript.options.wasm": False,
    "mathml.disabled": True,
    "gfx.font_rendering.graphite.enabled": False,
    "gfx.font_rendering.opentype_svg.enabled": False,
}
LEVELS = {
    "standard": {},
    "safer": NO_JIT,
    "safest": {**NO_JIT, "svg.disabled": True, "javascript.enabled": False},
}


class TorBrowser:
    """One headless Firefox ESR with a fresh profile; a context manager that gives its Marionette client."""

    def __init__(self, level="standard", socks_port=None, prefs=None, program="firefox-esr", timeout=60):
        proxy = {**PROXY, "network.proxy.socks_port": socks_port} if socks_port else {}
        self.prefs = {**TOR_BROWSER, **FIREFOX, **LEVELS[level], **proxy, **(prefs or {})}
        self.program = program
        self.timeout = timeout

    def __enter__(self):
        self._home = tempfile.TemporaryDirectory(prefix="torbrowser-")
        self.profile = Path(self._home.name) / "profile"
        self.profile.mkdir()
        (self.profile / "user.js").write_text(
            "".join(
                f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in self.prefs.items()
            )
        )
        self._process = subprocess.Popen(
            [self.program, "--headless", "--marionette", "--no-remote", "--profile", self.profile],
            env={**os.environ, "HOME": self._home.name},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = self._wait_for_port()
            self.marionette = Marionette(host="127.0.0.1", port=port, socket_timeout=self.timeout)
            self.marionette.start_session()
        except BaseException:
            self._stop()
            raise
        return self.marionette

    def __exit__(self, *_):
        self.marionette.delete_session()
        self._stop()

    def _wait_for_port(self):
        port_file = self.profile / "MarionetteActivePort"
        deadline = time.monotonic() + self.timeout
        while not (port_file.exists() and port_file.read_text()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.program} did not start (exit status {self._process.poll()})")
            time.sleep(0.1)
        return int(port_file.read_text())

    def _stop(self):
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._home.cleanup()
