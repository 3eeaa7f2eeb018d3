#!/bin/sh
# Start Redis with redis.conf and the password of the environment, its files in this directory; more options may follow.
#   REDIS_CURRICULUM_PASSWORD   needed
#   REDIS_CURRICULUM_BIND       addresses to listen on; loopback if not set
# The server reads the password's hash from its standard input: `ps` shows neither.
set -eu
: "${REDIS_CURRICULUM_PASSWORD:?must be set}"
here=$(cd "$(dirname "$0")" && pwd)
hash=$(printf %s "$REDIS_CURRICULUM_PASSWORD" | sha256sum | cut -d ' ' -f 1)

# A server that was killed while it wrote may have left half a script at the end of its append-only file. Redis would run
# that half later (docs/operate/durability.md). So it is cut off. What is longer than a script is left to you.
for file in appendonlydir/appendonly.aof.manifest appendonly.aof; do
  if [ -f "$file" ]; then
    torn=$(redis-check-aof "$file" | sed -n 's/^AOF analyzed: .*, diff=//p' | tail -n 1) || torn=
    if [ "${torn:-0}" -gt 0 ] && [ "$torn" -lt 16777216 ]; then
      yes | redis-check-aof --fix "$file"
    fi
  fi
done

exec "${REDIS_CURRICULUM_SERVER:-redis-server}" - "$@" <<END
include $here/redis.conf
bind ${REDIS_CURRICULUM_BIND:-127.0.0.1 -::1}
user default on #$hash ~* &* +@all
END
