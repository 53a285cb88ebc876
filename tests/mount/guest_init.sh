#!/usr/bin/env bash
# The first process of the guest that stands for a compute instance: this machine's files, read-only, with the places that
# Ubuntu has writable, an owner, a network to this machine's loopback, and Azure's names for it. Then the agent obeys.
set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Read now: this repository may stand in one of these places.
agent=$(<"${0%/*}/guest_agent.py")
for place in /run /tmp /home /usr/local/sbin; do
    mount -t tmpfs tmpfs "$place"
done
mount -t proc proc /proc

{
    cat /etc/passwd
    echo 'azureuser:x:1000:1000::/home/azureuser:/bin/bash'
} >/run/passwd
{
    echo '127.0.0.1 localhost'
    echo "10.0.2.2 $AZURE_NAMES" | tr , ' '
} >/run/hosts
for file in passwd hosts; do
    chmod 0644 "/run/$file" && mount --bind "/run/$file" "/etc/$file"
done
mkdir /home/azureuser && chown 1000:1000 /home/azureuser && chmod 0700 /home/azureuser

# Modules are not where modprobe looks. The kernel cannot load the ciphers by itself, as an instance's can.
mkdir -p /run/modules/lib && ln -s /usr/lib/uml/modules /run/modules/lib/modules
modprobe -d /run/modules -a hmac cmac ctr ccm ghash-generic gcm seqiv sha512_generic md4 nls_utf8 cifs

ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2

python3 -I -c "$agent" "$AGENT_PORT"
# Nobody listens any more: power off, as ACPI would.
sync
echo o >/proc/sysrq-trigger
sleep 60
