#!/bin/bash
# liboqs-python 0.16.0.1 where the library liboqs is not installed.
#
# Expected: `import oqs` raises ImportError, as ctypes wrappers do, so that a program
# can go on without it (`try: import oqs / except ImportError`).
# Seen: the import counts down five seconds, clones liboqs with git, builds it with
# cmake and installs it into the user's home; when any of that fails it raises
# SystemExit, which neither `except ImportError` nor `except Exception` catches: the
# program that asked ends.
#
# Needs: python3-venv, a package index for pip. The import runs without a network.
# Exits 0 when that is still so, 1 when it is not.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  liboqs-python==0.16.0.1

cat >"$folder/program.py" <<'PROGRAM'
try:
    import oqs
except ImportError:
    print("went on without it")
except Exception as error:
    print("went on after", type(error).__name__)
PROGRAM
status=0
# A network namespace of its own: nothing is fetched, whatever it tries.
HOME=$folder/home timeout 60 unshare --net --map-root-user \
  "$folder/venv/bin/python" "$folder/program.py" >"$folder/said" 2>&1 || status=$?
cat "$folder/said"
printf 'the program ended with status %s\n' "$status"
said=$(<"$folder/said")
[[ $said == *'Installing in 5 seconds'* && $said != *'went on'* ]] && ((status == 1))
