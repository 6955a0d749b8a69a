#!/usr/bin/env bash
# One run on several machines. Start it on each of them with the same words:
#
#   bash torchrun.sh FIRST:PORT MACHINES NAME [options of ali train]
#
# FIRST is the machine at which all meet. MACHINES is how many there are; LEAST:MOST lets the run begin with LEAST and
# take in others later. NAME is the run's: the same command with the same name takes the run up where it was. --out has
# to be a folder that all machines share. PROCESSES is how many each machine starts, one for each GPU unless it is set.
set -euo pipefail
if (($# < 3)); then
  echo "usage: bash torchrun.sh FIRST:PORT MACHINES NAME [options of ali train]" >&2
  exit 2
fi
first=$1 machines=$2 name=$3
shift 3

# With the store that torchrun's agents share, a machine that comes late would wait for ever.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
exec torchrun --nnodes "$machines" --nproc-per-node "${PROCESSES:-gpu}" --max-restarts 3 \
  --rdzv-backend c10d --rdzv-endpoint "$first" --rdzv-id "$name" \
  --no-python ali train "$@"
