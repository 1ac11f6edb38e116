set -eu
printf '%s\n' "$1"
printf '%s\n' "$1" "$2" >/outputs/words.txt
