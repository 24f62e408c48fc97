#!/bin/sh
# Usage: mend-aof.sh DATA_DIR [REDIS_CHECK_AOF]
#
# Cuts off what a kill tore at the end of Redis' append-only file, before Redis reads it. By itself Redis cuts a torn command
# off, but leaves a MULTI before it open: what is written next lands inside that transaction, and the start after that runs
# a half of it. Nothing of a torn transaction was ever acknowledged, since Redis answers after its fsync.
# Exits with 1 when more is damaged than one write can tear: then somebody has to decide.
set -eu
dir=$1
check=${2:-redis-check-aof}
max_bytes=$((64 * 1024 * 1024))
max_copies=10

# From Redis 7 on the file has parts, and only the last increment is written to; before that it is one.
manifest=$dir/appendonlydir/appendonly.aof.manifest
file=$dir/appendonly.aof
if [ -f "$manifest" ]; then
  last=$(awk '$1 == "file" && $6 == "i" { name = $2 } END { print name }' "$manifest")
  file=$dir/appendonlydir/${last:-none}
fi
[ -s "$file" ] || exit 0

report=$("$check" "$file" 2>&1 </dev/null) && exit 0
sound=$(printf '%s\n' "$report" | sed -n 's/.*ok_up_to=\([0-9][0-9]*\).*/\1/p' | tail -n 1)
if [ -z "$sound" ]; then
  echo "Redis' $file could not be checked: $(printf '%s\n' "$report" | tail -n 1)"
  exit 0
fi
torn=$(($(wc -c <"$file") - sound))
if [ "$torn" -gt "$max_bytes" ]; then
  echo "Redis' $file is damaged $torn bytes before its end, which is more than a kill can tear: it is left as it is." \
    "Bring its disk back, or copy it and run redis-check-aof --fix."
  exit 1
fi

kept=$dir/torn-aof
copy=$kept/$(date -u +%Y%m%dT%H%M%SZ)-$sound
what="are kept in $copy"
# A disk that is full is no reason not to cut.
{ mkdir -p "$kept" && tail -c "$torn" "$file" >"$copy"; } 2>/dev/null || { rm -f "$copy"; what="could not be kept"; }
dd if=/dev/null of="$file" bs=1 seek="$sound" 2>/dev/null
ls "$kept" 2>/dev/null | sort -r | tail -n "+$((max_copies + 1))" | while read -r old; do rm "$kept/$old"; done
echo "Redis' $file was torn by a kill: $torn bytes of an unfinished write were cut off, and $what"
