#!/bin/sh
# Makes the homes of the network of docker-compose.yml, each in its volume, and founds it; does nothing if that is done.
set -eu

names="alpha beta gamma delta epsilon"
founded=0
for name in $names; do
  if [ -f "/net/$name/genesis.json" ]; then founded=$((founded + 1)); fi
  if [ -f "/net/$name/ledger.db" ] && [ ! -f "/net/$name/genesis.json" ]; then
    echo "found-network: $name has run but its genesis.json is gone; begin anew with: docker compose down --volumes" >&2
    exit 1
  fi
done
if [ "$founded" = 5 ]; then
  echo "found-network: the network is there already"
  exit 0
fi

# Whatever was begun and not finished has never run.
cards=""
for name in $names; do
  find "/net/$name" -mindepth 1 -delete
  pnyx init --name "$name" --home "/net/$name" --announce "/dns4/$name/tcp/4001" >/dev/null
  pnyx card show --home "/net/$name" >"/tmp/$name.card"
  cards="$cards /tmp/$name.card"
done
# shellcheck disable=SC2086 # each card, and each option, is a word
pnyx genesis create --name compose --task "$TASK" --rounds "$ROUNDS" -o /tmp/genesis $FOUND_OPTIONS $cards
for name in $names; do
  cp /tmp/genesis/genesis.model "/net/$name/genesis.model"
  cp /tmp/genesis/genesis.json "/net/$name/genesis.json.part"
  mv "/net/$name/genesis.json.part" "/net/$name/genesis.json"
done
echo "found-network: done"
