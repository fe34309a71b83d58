# Builds for the platform of the builder: amd64 or arm64.
#
# A digest pins the base: --build-arg RUST_IMAGE=rust:1.95.0-slim-bookworm@sha256:…; docs/decisions/image.md says where to find it.
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm

FROM ${RUST_IMAGE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src

# Writes the list of crates into the binary, where vulnerability scanners read it.
ARG CARGO_AUDITABLE=0.7.7
RUN cargo install --locked "cargo-auditable@${CARGO_AUDITABLE}"

# Dependencies have their own layer, which is cached until the lock file changes. It contains only the manifest of the package
# itself. The build of its stubs is removed; otherwise Cargo would take sources that are older than the stubs for built.
# Of the emulators, which are not built, Cargo reads the manifest; their sources are not in the build context.
COPY Cargo.toml Cargo.lock ./
COPY emulators/Cargo.toml emulators/
RUN mkdir src emulators/src \
    && echo 'fn main() {}' | tee src/main.rs build.rs \
    && touch src/lib.rs emulators/src/lib.rs \
    && cargo build --locked --release \
    && cargo clean --release --package shoutback \
    && rm -r src build.rs

COPY build.rs ./
COPY src src
# Reported by /version.
ARG REVISION
ARG CREATED
RUN SHOUTBACK_COMMIT="${REVISION}" SHOUTBACK_BUILD_TIME="${CREATED}" cargo auditable build --locked --release

# The whole file system of the image: the binary, its shared libraries, certificates and a user. Also the status and licences of
# the Debian packages that these files come from, for vulnerability scanners and licence audits.
WORKDIR /image
RUN binary=/src/target/release/shoutback; \
    install -D "$binary" shoutback; \
    mkdir -p etc/ssl/certs var/lib/dpkg/status.d; \
    cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/; \
    cp -L /etc/os-release etc/; \
    echo 'shoutback:x:65532:65532:shoutback:/:/nonexistent' >etc/passwd; \
    echo 'shoutback:x:65532:' >etc/group; \
    echo 'hosts: files dns' >etc/nsswitch.conf; \
    packages=ca-certificates; \
    for library in $(ldd "$binary" | grep -o '/[^ ]*'); do \
        install -D "$library" ".$library"; \
        packages="$packages $(dpkg-query --search "*/${library##*/}" | cut -d: -f1)"; \
    done; \
    for package in $packages; do \
        dpkg-query --status "$package" >"var/lib/dpkg/status.d/$package"; \
        install -D --mode=644 "/usr/share/doc/$package/copyright" "usr/share/doc/$package/copyright"; \
    done; \
    find . -exec touch --no-dereference --date="${CREATED:-now}" {} +

FROM scratch
COPY --from=build /image/ /

ARG REVISION
ARG CREATED
ARG VERSION
ARG SOURCE
LABEL org.opencontainers.image.title="shoutback" \
      org.opencontainers.image.description="An HTTP API that reverses a string and returns it in upper case, built for production" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# A number, so that Kubernetes can verify that it is not root.
USER 65532:65532
EXPOSE 5000 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/shoutback", "healthcheck"]
ENTRYPOINT ["/shoutback"]
