#!/bin/sh
# make, but ending with the exit code of the step that failed (docs/runs.md), which make itself turns into 2.
EXIT_CODE_FILE=$(mktemp) || exit 12
export EXIT_CODE_FILE
trap : INT
make "$@"
code=$?
[ $code -eq 0 ] || [ ! -s "$EXIT_CODE_FILE" ] || code=$(cat "$EXIT_CODE_FILE")
rm -f "$EXIT_CODE_FILE"
exit "$code"
