#!/bin/sh
# Builds dist/brainviewer and an archive of it on macOS. Not tested yet: no Mac was at hand.
# The program is not signed: the first start is by right click, Open.
set -eu
cd "$(dirname "$0")/.."
python3 -m installer bundle
tar -czf dist/brainviewer-macos.tar.gz -C dist brainviewer
echo dist/brainviewer-macos.tar.gz
