"""Install leakdrop-review on a laptop, without a network: python3 install.py [FOLDER]

Everything goes into FOLDER (by default ~/leakdrop-review, on Tails ~/Persistent/leakdrop-review). It needs
Python 3.11 to 3.14, and neither pip nor root. What is not as SHA256SUMS says is refused, and
nothing is written then.
"""

import hashlib
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
OLDEST, NEWEST = (3, 11), (3, 14)


def fail(sentence):
    sys.stderr.write("install.py: " + sentence + "\n")
    sys.exit(1)


def check_python():
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = "%d.%d" % sys.version_info[:2]
        fail(
            "This needs Python 3.11 to 3.14, and this is Python "
            + found
            + ": try python3.11, or a newer system."
        )


def check_sums():
    """Every file that SHA256SUMS names is there and unchanged."""
    try:
        with open(os.path.join(HERE, "SHA256SUMS")) as lines:
            named = [line.rstrip("\n").split("  ", 1) for line in lines]
    except OSError:
        fail("SHA256SUMS is missing: copy the whole folder again.")
    for expected, name in named:
        try:
            with open(os.path.join(HERE, *name.split("/")), "rb") as file:
                found = hashlib.sha256(file.read()).hexdigest()
        except OSError:
            fail(name + " is missing: copy the whole folder again.")
        if found != expected:
            fail(name + " is not what SHA256SUMS says: copy the whole folder again.")


def choose_folder(arguments):
    if len(arguments) > 1 or any(one.startswith("-") for one in arguments):
        fail("give one folder, or none: python3 install.py [FOLDER]")
    persistent = os.path.join(os.path.expanduser("~"), "Persistent")
    home = persistent if os.path.isdir(persistent) else os.path.expanduser("~")
    folder = os.path.abspath(arguments[0] if arguments else os.path.join(home, "leakdrop-review"))
    if os.path.lexists(folder):
        fail(folder + " exists already: remove it, or name another folder.")
    return folder


def install(folder):
    """An environment of its own; pip runs out of its wheel, since many systems come without it."""
    import venv

    venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(folder)
    programs = os.path.join(folder, "Scripts" if os.name == "nt" else "bin")
    wheels = os.path.join(HERE, "wheels")
    (pip,) = [name for name in os.listdir(wheels) if name.startswith("pip-")]
    command = [os.path.join(programs, "python"), os.path.join(wheels, pip, "pip"), "install", "--quiet"]
    command += [
        "--no-index",
        "--no-deps",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--require-hashes",
    ]
    command += ["--find-links", wheels, "--requirement", os.path.join(HERE, "requirements.txt")]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    clean["PIP_CONFIG_FILE"] = os.devnull
    done = subprocess.run(command, env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        lines = done.stdout.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise OSError("no wheels for this system? " + lines[-1])
    program = os.path.join(programs, "leakdrop-review")
    if subprocess.run([program, "--help"], env=clean, stdout=subprocess.DEVNULL).returncode:
        raise OSError("it does not start")
    return program


def main():
    check_python()
    folder = choose_folder(sys.argv[1:])
    check_sums()
    try:
        program = install(folder)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if not isinstance(error, (OSError, ImportError)):
            raise
        fail("leakdrop-review was not installed, and nothing was left behind: " + str(error))
    sys.stdout.write("Installed. Try it:\n\n  " + program + " --help\n\n")
    sys.stdout.write("To call it by its name, for as long as this terminal is open:\n\n")
    sys.stdout.write('  export PATH="' + os.path.dirname(program) + ':$PATH"\n\n')
    sys.stdout.write("The guide, step by step: " + os.path.join(HERE, "reviewing.md") + "\n")


if __name__ == "__main__":
    main()
