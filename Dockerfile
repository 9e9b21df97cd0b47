# A static mailferry on an empty base.
#
#   docker build -t mailferry .
#   docker run --env RESEND_API_KEY -v mailferry:/data -p 127.0.0.1:1025:1025 -p 127.0.0.1:8025:8025 mailferry
#
# The Alpine toolchain links statically against musl by default, on x86_64 and aarch64 alike, so there is no cross compiler
# and no list of targets: `docker buildx build --platform linux/amd64,linux/arm64 .` builds each on its own kind.
# scripts/container-check follows the same steps where no container engine is at hand.

FROM rust:1.95-alpine AS build
# SQLite and aws-lc are compiled from their C sources.
RUN apk add --no-cache build-base
WORKDIR /build

# The dependencies alone, with an empty program: this layer is made again only when they change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked --bin mailferry

# Then ourselves. `touch`: cargo compares times, and copied files may be older than the empty program.
COPY . .
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked --bin mailferry \
    && mkdir -p /volumes/data
# A dynamic binary would not start on an empty base: better to fail here.
RUN readelf --program-headers target/release/mailferry > headers \
    && ! grep INTERP headers

FROM scratch
# No shell, no CA files, no passwd: mailferry brings its root certificates along and needs none of the others.
COPY --from=build /build/target/release/mailferry /mailferry
# The folder above `data` is named, so that `data` itself gets the owner; a new volume inherits it.
COPY --from=build --chown=10025:10025 /volumes/ /
COPY LICENSE-MIT LICENSE-APACHE /licenses/

# A number, since there is no passwd.
USER 10025:10025
WORKDIR /data
VOLUME ["/data"]

# SQLITE_TMPDIR: SQLite puts large temporary files there; with a read-only root only /data can be written.
ENV MAILFERRY__SMTP__LISTEN=0.0.0.0:1025 \
    MAILFERRY__HTTP__LISTEN=0.0.0.0:8025 \
    MAILFERRY__QUEUE__URL=sqlite:/data/mailferry.db \
    SQLITE_TMPDIR=/data

EXPOSE 1025 8025
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["/mailferry", "health"]
ENTRYPOINT ["/mailferry"]
CMD ["serve"]

LABEL org.opencontainers.image.title="mailferry" \
      org.opencontainers.image.description="The SMTP server for apps whose host blocks the mail ports: durable queue in, email provider HTTPS APIs out." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
