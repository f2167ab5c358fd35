# Runs the scripts that tlsfuzzer.txt has for a setting:
# PYTHON TLSFUZZER-DIRECTORY HOST PORT SETTING CERTIFICATE-DIRECTORY.
# Says of each how many conversations passed. Which ones are made is often a matter of chance.
set -eu
here=$(dirname "$0")
"$1" -c 'import tlslite'
sed -n "s/^$5 //p" "$here/tlsfuzzer.txt" | sed "s,@tls@,$6,g" | while read -r script arguments; do
    # shellcheck disable=SC2086
    timeout 300 "$1" "$here/tlsfuzzer_behind_starttls.py" "$2" "$script" "$3" "$4" $arguments 2>&1 |
        awk -v script="$script" '
            /^(PASS|FAIL): [0-9]/ { print script " " $0; said = 1 }
            END { if (!said) print script " ended before it was done" }'
done
