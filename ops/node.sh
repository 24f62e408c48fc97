#!/bin/sh
# Runs Node with the flags that a server or a worker has with `npm start`, in the image and with docker compose:
#
#   sh ops/node.sh --import tsx server/main.ts
#
# --max-semi-space-size: the young generation in MB. With V8's default of 16 garbage collection took a seventh of a
#   server's time, and with 64 a sixth while 10,000 requests were pending, because their objects are copied each time.
# --no-flush-bytecode, --no-memory-reducer: bytecode and memory are kept while idle. Without that an idle shop accepted a
#   third less in its first seconds.
# --initial-old-space-size: a full collection comes at so many MB, of which about 50 are in use, and not in each rush.
#
# `exec` leaves no shell between a signal and Node. NODE is the one that started us, when npm or `npm start` did.
exec "${NODE:-node}" \
  --max-semi-space-size=128 \
  --no-flush-bytecode \
  --no-memory-reducer \
  --initial-old-space-size=256 \
  "$@"
