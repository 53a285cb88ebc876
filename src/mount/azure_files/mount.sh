#!/usr/bin/env bash
# Mounts one Azure file share on an Azure Machine Learning compute instance. It runs as root at each start of the instance
# (setupScripts.startupScript) or through ssh, and may run again at any time.
#
# No argument is a secret: Azure shows them on the instance's page. A key is fetched at run time or comes by stdin; it stands
# in a file that root alone can read, on a file system in memory, while the share is mounted, and never in an argument of a
# process, in the environment or in the output.
#
#   --account A              the storage account
#   --share S                the share
#   --mount-point P          an absolute path, or one that begins with ~/, the home of the owner
#   --owner USER             whose files they are (azureuser)
#   --credential identity    SMB over OAuth with the managed identity of --client-id, by Microsoft's azfilesauth
#   --credential key_vault   the account's key is the secret --vault-secret, read with the managed identity of --client-id
#   --credential stdin       the account's key is the next line of stdin
#   --client-id ID           the managed identity's client id
#   --vault-secret URL       https://VAULT.vault.azure.net/secrets/NAME
#   --server HOST            (A.file.core.windows.net)
#   --port N                 (445)
#   --imds URL               the instance metadata service, for key_vault (http://169.254.169.254)
#   --read-only              nothing can be written
#   --optional               a failure is a warning, and the exit code is 0
#   --patience SECONDS       how long all of it may take, 1 to 290 (240; Azure ends a script after 15 minutes)
#
# Exit codes; the reason is one line on stderr:
#   0  the share is mounted, or was already, or is optional
#   1  the mount failed for another reason, which is told
#   2  an argument is wrong (with --optional, too)
#   3  a package is missing and cannot be installed
#   4  the managed identity gives no token or no ticket
#   5  there is no key: Key Vault does not give it, or stdin has none
#   6  the server cannot be reached
#   7  the server refuses the credential
#   8  the share does not exist
#   9  the mount point cannot be used, or something else is mounted there
set -euo pipefail
# Azure's start of a script has hardly an environment; and a caller's `bash -x` must not show a secret.
set +x
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
umask 077

OTHER=1 WRONG_ARGUMENT=2 NO_PACKAGE=3 NO_TOKEN=4 NO_SECRET=5 UNREACHABLE=6 REFUSED=7 NO_SHARE=8 BAD_MOUNT_POINT=9

# Azure: a new role assignment may be refused for some minutes. The instance's own creation took most of them.
ROLE_SETTLES_S=90

account='' share='' mount_point='' owner=azureuser credential='' client_id='' vault_secret=''
server='' port=445 imds=http://169.254.169.254 read_only='' optional='' patience=240

say() {
    printf 'mount of %s: %s\n' "${share//[^a-z0-9-]/}" "$1" >&2
}

fail() {
    if [[ -n $optional && $1 != "$WRONG_ARGUMENT" ]]; then
        say "warning: $2; it is optional, so the start goes on without it"
        exit 0
    fi
    say "error: $2"
    exit "$1"
}

# Runs a program for at most $1 seconds, and never longer than all may take. What ignores SIGTERM is killed.
within() {
    local most=$1 left=$((patience - SECONDS))
    shift
    ((left < most)) && most=$((left > 0 ? left : 1))
    timeout -k 5 "$most" "$@"
}

# Pauses before another try; when the time ($3, else all of it) is over, fails with code $1 and reason $2.
again_or_fail() {
    local until=${3:-$patience}
    ((until > patience)) && until=$patience
    ((SECONDS + pause < until)) || fail "$1" "$2"
    sleep "$pause"
    ((pause = pause < 16 ? pause * 2 : 16))
}

### Arguments

read_arguments() {
    while (($#)); do
        case $1 in
            --read-only) read_only=1 && shift && continue ;;
            --optional) optional=1 && shift && continue ;;
        esac
        (($# > 1)) || fail $WRONG_ARGUMENT "an argument has no value, or is unknown"
        case $1 in
            --account) account=$2 ;;
            --share) share=$2 ;;
            --mount-point) mount_point=$2 ;;
            --owner) owner=$2 ;;
            --credential) credential=$2 ;;
            --client-id) client_id=$2 ;;
            --vault-secret) vault_secret=$2 ;;
            --server) server=$2 ;;
            --port) port=$2 ;;
            --imds) imds=$2 ;;
            --patience) patience=$2 ;;
            *) fail $WRONG_ARGUMENT "an argument is unknown" ;;
        esac
        shift 2
    done
    server=${server:-$account.file.core.windows.net}
}

# Each is what it should be, in plain characters: nothing can be smuggled into a list of mount options, a URL or a path.
check_arguments() {
    # Storage accounts and shares: Azure's naming rules. The owner: useradd's.
    want account "$account" '[a-z0-9]{3,24}'
    want share "$share" '[a-z0-9](-?[a-z0-9]){2,62}'
    want mount-point "$mount_point" '(~/|/)[A-Za-z0-9._/-]+'
    want owner "$owner" '[a-z_][a-z0-9_-]{0,31}'
    want server "$server" '[A-Za-z0-9.-]{1,253}'
    want port "$port" '[1-9][0-9]{0,4}'
    want imds "$imds" 'http://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._/-]*)?'
    want patience "$patience" '[1-9][0-9]{0,2}'
    ((patience <= 290)) || fail $WRONG_ARGUMENT "--patience is more than 290"
    [[ /$mount_point/ != */../* ]] || fail $WRONG_ARGUMENT "--mount-point has a .. in it"
    case $credential in
        stdin) ;;
        identity | key_vault) want client-id "$client_id" '[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}' ;;
        *) fail $WRONG_ARGUMENT "--credential is none of identity, key_vault, stdin" ;;
    esac
    if [[ $credential == key_vault ]]; then
        want vault-secret "$vault_secret" 'https://[A-Za-z0-9.-]+(:[0-9]+)?/secrets/[A-Za-z0-9-]{1,127}'
    fi
}

want() {
    [[ $2 =~ ^($3)$ ]] || fail $WRONG_ARGUMENT "--$1 is missing or not of the form $3"
}

### Packages

# What an instance lacks is installed; most have all of it.
install_packages() {
    local missing=()
    command -v mount.cifs >/dev/null || missing+=(cifs-utils)
    # The kernel asks request-key for Kerberos tickets.
    command -v request-key >/dev/null || missing+=(keyutils)
    command -v curl >/dev/null || missing+=(curl)
    command -v python3 >/dev/null || missing+=(python3)
    ((${#missing[@]} == 0)) || apt_install "${missing[@]}"
    # Ubuntu's kernels for Azure have cifs in a package of its own.
    grep -qw cifs /proc/filesystems || modprobe cifs 2>/dev/null ||
        { apt_install "linux-modules-extra-$(uname -r)" && modprobe cifs; } ||
        fail $NO_PACKAGE "this kernel has no cifs"
    if [[ $credential == identity ]]; then
        command -v azfilesauthmanager >/dev/null || install_azfilesauth
    fi
}

# https://learn.microsoft.com/azure/storage/files/files-managed-identities, "Download and install the authentication packages"
install_azfilesauth() {
    local release package=$private/packages-microsoft-prod.deb
    if ! apt-cache show azfilesauth >/dev/null 2>&1; then
        release=$(sed -n 's/^VERSION_ID="\(.*\)"$/\1/p' /etc/os-release)
        if ! within 60 curl --disable --silent --fail --location --max-time 55 --output "$package" \
            "https://packages.microsoft.com/config/ubuntu/$release/packages-microsoft-prod.deb" ||
            ! within 30 dpkg -i "$package" >/dev/null 2>&1; then
            fail $NO_PACKAGE "Microsoft's package repository for Ubuntu $release cannot be added"
        fi
    fi
    apt_install azfilesauth
}

# At the start of an instance another apt often holds the lock.
apt_install() {
    local patiently=(-q -y -o DPkg::Lock::Timeout=60)
    within 150 apt-get "${patiently[@]}" install --no-install-recommends "$@" >/dev/null 2>&1 ||
        { within 90 apt-get "${patiently[@]}" update >/dev/null 2>&1 &&
            within 150 apt-get "${patiently[@]}" install --no-install-recommends "$@" >/dev/null 2>&1; } ||
        fail $NO_PACKAGE "cannot install $*"
}

### The credential

# GETs $1 with the header $2, which curl reads from stdin; sets `status` (000: no answer) and `body`.
fetch() {
    local answer
    answer=$(printf 'header = "%s"\n' "$2" |
        within 20 curl --disable --silent --connect-timeout 5 --max-time 15 "${@:3}" --write-out '\n%{http_code}' --config - "$1") || answer=$'\n000'
    status=${answer##*$'\n'}
    body=${answer%$'\n'*}
}

# A member of the JSON object in `body`.
member() {
    # A pipe: a here-string may be a file in /tmp.
    printf %s "$body" | python3 -I -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1" 2>/dev/null
}

# https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token: the request, never by a
# proxy, and "Retry guidance": 404, 410, 429 and 5xx are tried again.
fetch_token() {
    local host=${vault_secret#https://} url why
    host=${host%%[:/]*}
    # A vault's audience is its domain without the vault's own name, in every cloud.
    url="$imds/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://${host#*.}&client_id=$client_id"
    pause=1
    while :; do
        fetch "$url" 'Metadata: true' --noproxy '*'
        why="the metadata service gives no token for the identity $client_id (HTTP $status); is it assigned to this instance?"
        case $status in
            200) break ;;
            000 | 404 | 410 | 429 | 5??) again_or_fail $NO_TOKEN "$why" ;;
            *) fail $NO_TOKEN "$why" ;;
        esac
    done
    # Token characters only, so that the header is one header.
    token=$(member access_token) || token=''
    [[ $token =~ ^[A-Za-z0-9._~+/=-]+$ ]] || fail $NO_TOKEN "the metadata service's answer holds no token"
}

# https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret
fetch_secret() {
    local why
    pause=1
    while :; do
        fetch "$vault_secret?api-version=7.4" "Authorization: Bearer $token"
        why="Key Vault does not give $vault_secret to the identity $client_id (HTTP $status)"
        case $status in
            200) break ;;
            403) again_or_fail $NO_SECRET "$why; it needs the role Key Vault Secrets User" $ROLE_SETTLES_S ;;
            000 | 429 | 5??) again_or_fail $NO_SECRET "$why" ;;
            *) fail $NO_SECRET "$why" ;;
        esac
    done
    key=$(member value) || key=''
}

# The file that mount.cifs reads by itself.
write_key() {
    [[ -n $key && $key != *[[:cntrl:]]* ]] || fail $NO_SECRET "the account's key is empty or more than one line"
    printf 'username=%s\npassword=%s\n' "$account" "$key" >"$private/credentials"
    options+=,sec=ntlmssp,credentials=$private/credentials
}

# Microsoft's azfilesauth turns the identity's token into a Kerberos ticket in the cache of a user of its own, whose number
# stands in its configuration (https://github.com/Azure/AzFilesAuthenticator, README); its service renews the ticket for
# the identity that the mount's user name tells.
fetch_ticket() {
    local keeper
    pause=2
    until within 60 azfilesauthmanager set "https://$server" --imds-client-id "$client_id" >/dev/null 2>&1; do
        again_or_fail $NO_TOKEN "azfilesauthmanager gets no ticket for https://$server with the identity $client_id; the account needs SMB OAuth, the identity the role Storage File Data SMB MI Admin" $ROLE_SETTLES_S
    done
    keeper=$(sed -n 's/^USER_UID: *\([0-9]\{1,\}\) *$/\1/p' /etc/azfilesauth/config.yaml 2>/dev/null || true)
    options+=,sec=krb5,cruid=${keeper:-0},username=$client_id
    within 30 systemctl enable --now --quiet azfilesrefresh 2>/dev/null ||
        say "warning: azfilesrefresh does not run, so that access ends with today's ticket"
}

### The mount

find_place() {
    local home entry
    entry=$(getent passwd "$owner") || fail $BAD_MOUNT_POINT "there is no user $owner here"
    IFS=: read -r _ _ uid gid _ home _ <<<"$entry"
    place=${mount_point/#\~/$home}
    place=${place%/}
}

# True if the share is mounted there already; whatever else is mounted there is a failure.
is_mounted() {
    local there source type flags wanted=${read_only:+ro}
    there=$(within 20 findmnt --noheadings --raw --output SOURCE,FSTYPE,OPTIONS --mountpoint "$place") || return 1
    # The last one is on top.
    read -r source type flags <<<"${there##*$'\n'}"
    [[ $type == cifs && $source == "//$server/$share" ]] || fail $BAD_MOUNT_POINT "$source is mounted at $place already"
    [[ ,$flags, == *,${wanted:-rw},* ]] || fail $BAD_MOUNT_POINT "it is mounted at $place already, and not ${wanted:-rw}"
}

make_mount_point() {
    # What is made in the home is the owner's.
    local as=(setpriv --reuid "$uid" --regid "$gid" --clear-groups)
    [[ $mount_point == '~'* ]] || as=()
    (umask 022 && "${as[@]}" mkdir -p "$place") 2>/dev/null || fail $BAD_MOUNT_POINT "$place cannot be made"
    if [[ -n $(ls -A "$place") ]]; then
        say "warning: $place is not empty; what is in it is hidden while the share is mounted"
    else
        # Without the share nobody should write there by mistake: it would be lost with the instance.
        install -d -o root -g root -m 0555 "$place"
    fi
}

# https://learn.microsoft.com/azure/storage/files/storage-how-to-use-files-linux: serverino, nosharesock, mfsymlinks, actimeo.
# soft: while the server is away, reads and writes fail after a while. With hard they would wait for ever, could not be
# killed, and would hold up the instance's stop. echo_interval: an absent server is noticed after a minute, not two.
mount_options() {
    options=vers=3.1.1,seal,port=$port,uid=$uid,gid=$gid,file_mode=0700,dir_mode=0700
    options+=,serverino,nosharesock,mfsymlinks,actimeo=30,soft,echo_interval=30,nosuid,nodev
    options+=${read_only:+,ro}
}

mount_share() {
    local answer number
    pause=1
    while :; do
        number=unknown
        if within 20 getent ahosts "$server" >/dev/null; then
            answer=$(within 60 mount -t cifs -o "$options" "//$server/$share" "$place" 2>&1) && return
            # mount.cifs tells the errno: "mount error(13): Permission denied". Without one it was killed.
            number=$(sed -n 's/^mount error(\([0-9]*\)).*/\1/p;T;q' <<<"$answer")
        fi
        case $number in
            2 | 6) fail $NO_SHARE "the account $account has no share $share" ;;
            13 | 127 | 128 | 129)
                [[ $credential == identity ]] ||
                    fail $REFUSED "$server refuses the credential (errno $number): the wrong key, or not this share's"
                again_or_fail $REFUSED "$server refuses the identity $client_id (errno $number); it needs the role Storage File Data SMB MI Admin on this share" $ROLE_SETTLES_S
                ;;
            126) fail $NO_TOKEN "the kernel finds no ticket for $server" ;;
            unknown) again_or_fail $UNREACHABLE "no address is known for $server" ;;
            '' | 11 | 101 | 103 | 104 | 110 | 111 | 112 | 113 | 115)
                again_or_fail $UNREACHABLE "$server cannot be reached at port $port${number:+ (errno $number)}; is outgoing SMB blocked?"
                ;;
            *) fail $OTHER "${answer%%$'\n'*}" ;;
        esac
    done
}

main() {
    local key='' token='' options='' place='' uid='' gid='' pause=1 status='' body='' private=''
    SECONDS=0
    read_arguments "$@"
    check_arguments
    [[ $credential != stdin ]] || IFS= read -r key || true
    exec </dev/null
    ((EUID == 0)) || fail $OTHER "this is not run by root"
    # One at a time: Azure may still run the last start's script.
    exec 9>/run/cloudspawner-mount.lock
    flock --wait "$patience" 9 || fail $OTHER "another mount still runs"
    find_place
    if is_mounted; then
        say "it is mounted at $place already"
        return
    fi
    make_mount_point
    private=$(mktemp -d /run/cloudspawner-mount.XXXXXX)
    # shellcheck disable=SC2064 # the folder's name is final
    trap "rm -rf -- '$private'" EXIT
    install_packages
    mount_options
    case $credential in
        identity) fetch_ticket ;;
        key_vault)
            fetch_token
            fetch_secret
            write_key
            ;;
        stdin) write_key ;;
    esac
    mount_share
    say "it is mounted at $place"
}

# One line, read as a whole before it runs: through `bash -s` the rest of stdin is the secret, and must not be run.
main "$@"; exit
