#!/bin/sh
# Start Redis with redis.conf and the password of the environment; more options may follow.
#   REDIS_CURRICULUM_PASSWORD   needed
#   REDIS_CURRICULUM_BIND       addresses to listen on; loopback if not set
# The server reads the password's hash from its standard input: `ps` shows neither.
set -eu
: "${REDIS_CURRICULUM_PASSWORD:?must be set}"
here=$(cd "$(dirname "$0")" && pwd)
hash=$(printf %s "$REDIS_CURRICULUM_PASSWORD" | sha256sum | cut -d ' ' -f 1)

exec "${REDIS_CURRICULUM_SERVER:-redis-server}" - "$@" <<END
include $here/redis.conf
bind ${REDIS_CURRICULUM_BIND:-127.0.0.1 -::1}
user default on #$hash ~* &* +@all
END
