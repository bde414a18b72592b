# Sourced by the scripts beside it: which versions are good enough.

oldest_cargo=1.95
oldest_nats_server=2.14

# newer_or_same OLDEST FOUND
newer_or_same() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# Whether the PATH has a nats-server that Holdfast can use.
nats_server_on_path() {
    command -v nats-server >/dev/null 2>&1 || return 1
    local found
    found=$(nats-server --version 2>/dev/null | sed -n 's/.*: v\([0-9.]*\).*/\1/p')
    newer_or_same "$oldest_nats_server" "${found:-0}"
}
