# leakdrop and tor, each in an image of its own; compose.yaml puts them together. docs/operating.md, "Containers".
# What the images hold comes from Debian and from the lock files, whose hashes are checked.
# hadolint wants Debian's packages pinned (DL3008): a pinned one would miss Debian's security updates.

FROM debian:12-slim AS base
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* \
 # Both may use the socket, which belongs to this group; and neither is root.
 && groupadd --gid 10001 onion \
 && useradd --uid 10000 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin leakdrop \
 && install --directory --owner 10000 --group 10001 --mode 0710 /run/leakdrop


FROM base AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends make python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN make wheel \
 && python3 -m venv --without-pip /opt/leakdrop \
 && .venv/bin/python -m pip --python /opt/leakdrop/bin/python install --no-cache-dir --require-hashes \
      --only-binary :all: --requirement dist/requirements-server.lock \
 && .venv/bin/python -m pip --python /opt/leakdrop/bin/python install --no-cache-dir --no-deps dist/*.whl


FROM base AS leakdrop
COPY --from=build /opt/leakdrop /opt/leakdrop
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10000:10001
WORKDIR /srv/leakdrop
ENTRYPOINT ["/opt/leakdrop/bin/leakdrop"]
CMD ["serve", "--config", "/srv/leakdrop/config.toml"]


FROM debian:12-slim AS tor
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tor \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 onion \
 && useradd --uid 10002 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin onion \
 && install --directory --owner 10002 --group 10001 --mode 0700 /var/lib/onion \
 && install --directory --owner 10000 --group 10001 --mode 0710 /run/leakdrop
USER 10002:10001
ENTRYPOINT ["/usr/bin/tor", "--defaults-torrc", "/dev/null", "-f", "/etc/leakdrop/torrc"]
