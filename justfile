# What CI runs, by hand: `just check`; the whole of it, with the other clients: `.ci/run`.
check:
    cargo fmt --all --check
    cargo clippy --all-targets -- -D warnings
    cargo test

# Writes completions/ and man/ again from the command line's definitions.
generate:
    KAFKA_RS_REGENERATE=1 cargo test --test generated

bench *args:
    cargo bench {{args}}
