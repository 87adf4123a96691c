#!/bin/bash
# The startup script of the machine that runs docker-compose.gcp.yaml (docs/gcp.md). Google runs it as root at each start,
# so every step may be repeated. It starts no container: Docker itself starts again what ran before.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

# A container's log takes 100 MB at most. Containers go on while an update restarts Docker.
install --directory /etc/docker
cat > /etc/docker/daemon.json <<'JSON'
{
  "log-driver": "local",
  "log-opts": {"max-size": "20m", "max-file": "5"},
  "live-restore": true
}
JSON

# Debian's security updates every day. A new kernel takes a restart, half an hour before Cloud SQL's own maintenance.
cat > /etc/apt/apt.conf.d/60contrail <<'APT'
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
APT::Periodic::AutocleanInterval "7";
Unattended-Upgrade::Automatic-Reboot "true";
Unattended-Upgrade::Automatic-Reboot-Time "12:30";
Unattended-Upgrade::Remove-Unused-Dependencies "true";
APT

# Tasks' logs, which Airflow never deletes, and images of earlier releases.
cat > /etc/cron.daily/contrail <<'CRON'
#!/bin/sh
find /var/lib/docker/volumes/contrail_logs/_data -type f -mtime +90 -delete
docker image prune --all --force --filter until=720h > /dev/null
CRON
chmod 0755 /etc/cron.daily/contrail

apt_get() { apt-get -o DPkg::Lock::Timeout=600 "$@"; }
apt_get update
apt_get install --yes cron curl docker.io docker-cli docker-compose unattended-upgrades

# What is on the disk and in memory, for the alerts of terraform/modules/monitoring. The hypervisor sees neither.
if ! dpkg --status google-cloud-ops-agent > /dev/null 2>&1; then
  installer=$(mktemp)
  curl --fail --silent --show-error --output "$installer" \
    https://dl.google.com/cloudagents/add-google-cloud-ops-agent-repo.sh
  bash "$installer" --also-install
fi
