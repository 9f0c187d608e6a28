#!/usr/bin/env bash
# Everything `make demo` and `make test` need, on a fresh Debian machine. Safe to run again: what is there stays.
# What this user may not do is said, and left out.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
skip() { printf 'skipped: %s\n         %s\n' "$1" "$2" >&2; }

find_python() {
  for name in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
    if [ -n "$name" ] && "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
}

install_packages() {
  local wanted=()
  command -v git >/dev/null || wanted+=(git)
  command -v dockerd >/dev/null || docker info >/dev/null 2>&1 || wanted+=(docker.io iptables)
  command -v debootstrap >/dev/null || [ -x /usr/sbin/debootstrap ] || wanted+=(debootstrap)
  command -v bwrap >/dev/null || wanted+=(bubblewrap)
  [ -n "$(find_python)" ] || wanted+=(python3 python3-venv python3-pip)
  [ ${#wanted[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    skip "the packages ${wanted[*]}" "only root can install them: apt-get install ${wanted[*]}"
    return 0
  fi
  say "installing ${wanted[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >&2 || true
  apt-get install -y -q --no-install-recommends "${wanted[@]}" >&2 ||
    skip "the packages ${wanted[*]}" "apt-get failed; see above"
}

start_docker() {
  docker info >/dev/null 2>&1 && return 0
  if [ "$(id -u)" != 0 ] || ! command -v dockerd >/dev/null; then
    skip "the Docker engine" "start it, and let this user use it: sudo usermod -aG docker $(id -un)"
    return 0
  fi
  say "starting the Docker engine"
  local log=/var/log/dockerd-agentmem.log extra
  if [ -d /run/systemd/system ]; then
    systemctl start docker >&2 || true
    docker info >/dev/null 2>&1 && return 0
  fi
  # Where the kernel lacks what the default bridge or overlay needs, repairs still work without them.
  for extra in "" "--iptables=false --ip6tables=false --bridge=none" \
    "--iptables=false --ip6tables=false --bridge=none --storage-driver=vfs"; do
    # shellcheck disable=SC2086
    nohup dockerd $extra >>"$log" 2>&1 </dev/null &
    local pid=$!
    for _ in $(seq 30); do
      docker info >/dev/null 2>&1 && return 0
      kill -0 "$pid" 2>/dev/null || break
      sleep 1
    done
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  skip "the Docker engine" "it does not start; see $log"
}

install_agentmem() {
  local python stamp=.venv/.agentmem-installed
  python=$(find_python)
  if [ -z "$python" ]; then
    say "Python 3.11 or newer with venv is needed: apt-get install python3 python3-venv"
    exit 3
  fi
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    say "installing agentmem into .venv"
    if ! .venv/bin/python -m pip install --quiet -e '.[dev,local]'; then
      .venv/bin/python -m pip install --quiet -e '.[dev]'
      skip "the extra local" "the xllamacpp package cannot be installed here"
    fi
    touch "$stamp"
  fi
}

base_image() {
  docker info >/dev/null 2>&1 || return 0
  .venv/bin/python - <<'PYTHON' || skip "the base image" "see above; the demo then uses --sandbox local"
import sys
from agentmem.errors import AgentmemError
from agentmem.sandbox.images import find_base

try:
    find_base(None, None, say=lambda line: print(line, file=sys.stderr))
except AgentmemError as error:
    print(f"{error.what}\n{error.mend}", file=sys.stderr)
    sys.exit(1)
PYTHON
}

install_packages
install_agentmem
start_docker
base_image
