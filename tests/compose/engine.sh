#!/usr/bin/env bash
# A Docker engine for `make e2e-compose`, where none answers: installed, started for this test alone, and ended after it.
#   engine.sh start DIR   prints what to export; every file of the engine lies in DIR
#   engine.sh stop DIR    ends it and puts the machine's packet filter back as it was
# An engine that answers already is used as it is, and left alone. Where no registry can be reached, the image that the
# Dockerfile starts from is made from Debian's own packages, with the settings that this machine has for apt and pip.
set -euo pipefail

command=${1:?start or stop}
mkdir -p "${2:?a folder}"
folder=$(cd "$2" && pwd)
base=python:3.11-slim
socket=$folder/docker.sock
export DEBIAN_FRONTEND=noninteractive

fail() { echo "engine: $1" >&2; exit 1; }
say() { echo "engine: $1" >&2; }

install() {
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || fail "$* missing: install Docker with Compose, and start it"
  say "installing $*"
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "$@" >"$folder/apt.log" 2>&1 || fail "apt-get failed: $folder/apt.log"
}

start_engine() {
  command -v dockerd >/dev/null || install docker.io iptables
  command -v iptables >/dev/null || install iptables
  iptables-save >"$folder/iptables.saved"
  cat /proc/sys/net/ipv4/ip_forward >"$folder/ip_forward.saved"
  setsid nohup dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/dockerd.pid" \
    -H "unix://$socket" >"$folder/dockerd.log" 2>&1 </dev/null &
  export DOCKER_HOST=unix://$socket
  for _ in $(seq 240); do
    if docker info >/dev/null 2>&1; then return; fi
    sleep 0.5
  done
  fail "dockerd does not answer; the end of its log: $(tail -n 3 "$folder/dockerd.log")"
}

# Debian 12 has Python 3.11 of its own. Its headers come with it, as they do in the image that it stands in for.
make_base() {
  say "no registry in reach: making $base from Debian's packages"
  command -v debootstrap >/dev/null || install debootstrap
  root=$folder/base
  debootstrap --variant=minbase --include=python3,python3-venv,python3-dev,ca-certificates bookworm "$root" \
    >"$folder/debootstrap.log" 2>&1 || fail "debootstrap failed: $folder/debootstrap.log"
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  {
    echo "[global]"
    echo "cert = /etc/ssl/certs/ca-certificates.crt"
    if [ -d "${PIP_FIND_LINKS:-}" ]; then echo "find-links = /wheels"; fi
    if [ -n "${PIP_INDEX_URL:-}" ]; then echo "index-url = $PIP_INDEX_URL"; fi
  } >"$root/etc/pip.conf"
  if [ -d "${PIP_FIND_LINKS:-}" ]; then mkdir "$root/wheels"; cp "$PIP_FIND_LINKS"/*.whl "$root/wheels/"; fi
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/usr/share/{doc,man,locale}/*
  tar -C "$root" -c . | docker import -c 'ENV LANG=C.UTF-8' -c 'CMD ["python3"]' - "$base" >/dev/null
  rm -rf "$root"
}

start() {
  # One that an earlier run kept.
  if DOCKER_HOST=unix://$socket docker info >/dev/null 2>&1; then
    export DOCKER_HOST=unix://$socket
    echo "export DOCKER_HOST=$DOCKER_HOST DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0"
  elif docker info >/dev/null 2>&1; then
    say "using the engine that runs already"
  else
    start_engine
    echo "export DOCKER_HOST=$DOCKER_HOST DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0"
  fi
  if docker compose version >/dev/null 2>&1; then
    echo "export COMPOSE='docker compose'"
  else
    command -v docker-compose >/dev/null || install docker-compose
    echo "export COMPOSE=docker-compose"
  fi
  if ! docker image inspect "$base" >/dev/null 2>&1; then
    timeout 300 docker pull -q "$base" >/dev/null 2>&1 || make_base
  fi
}

stop() {
  [ -s "$folder/dockerd.pid" ] || exit 0
  pid=$(cat "$folder/dockerd.pid")
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 240); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.25
  done
  # What the engine added goes first: a table that was empty is not in what was saved.
  for table in filter nat; do
    iptables -t "$table" -F
    iptables -t "$table" -X
  done
  iptables -P FORWARD ACCEPT
  iptables-restore <"$folder/iptables.saved"
  cat "$folder/ip_forward.saved" >/proc/sys/net/ipv4/ip_forward
  ip link delete docker0 2>/dev/null || true
}

case $command in
  start) start ;;
  stop) stop ;;
  *) fail "start or stop" ;;
esac
