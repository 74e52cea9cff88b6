#!/bin/sh
# Print the first of the named Pythons that bnref's environment can be made with, or say why there is none.
# A name on PATH promises nothing: it may be a shim for a version that is not there, or a Python without venv.
looked=
for python; do
    if ! command -v "$python" >/dev/null 2>&1; then
        looked="$looked, $python (not found)"
    elif ! version=$("$python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
        looked="$looked, $python (does not run)"
    else
        case $version in
        3.11 | 3.12 | 3.13)
            "$python" -I -c 'import ensurepip, ssl, sys, venv; print(sys.executable)' 2>/dev/null && exit
            looked="$looked, $python (Python $version without its venv module: on Debian, apt install python$version-venv)"
            ;;
        *) looked="$looked, $python (Python $version)" ;;
        esac
    fi
done
echo "bnref needs Python 3.11, 3.12 or 3.13 with its venv module; looked for${looked#,}." >&2
exit 1
