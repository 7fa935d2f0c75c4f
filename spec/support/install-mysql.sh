#!/bin/bash
# Unpacks MySQL and the libraries it needs from Debian sid into a folder, and prints the path of a mysqld that runs from there.
# Nothing is installed, and apt on this machine goes on as before. With a folder that is complete, it only prints the path.
#
#   TEST_MYSQL=mysql npm test         runs this, and then the specs on it
#
# The mirror is the one that apt has here for Debian. For root, on Debian; MYSQL_FOLDER names another folder.
set -euo pipefail

folder=${MYSQL_FOLDER:-/var/cache/knex-session-store/mysql}
program=$folder/mysqld
if [ -x "$program" ]; then
  echo "$program"
  exit 0
fi

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
  grep -v -i security | sort -u | head -n 1)
[ -n "$mirror" ] || { echo 'apt has no mirror of Debian here: apt-get update first' >&2; exit 1; }

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work"/apt/{state,lists/partial,cache/archives/partial,parts} "$work/root"
# As if nothing were installed, so that all libraries come along, down to the C library.
touch "$work/apt/status" "$work/apt/preferences"
echo "deb [signed-by=$keyring] $mirror sid main" >"$work/apt/sources.list"
cat >"$work/apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "$work/apt/parts";
Dir::Etc::preferences "$work/apt/preferences";
Dir::Etc::preferencesparts "$work/apt/parts";
Dir::State "$work/apt/state";
Dir::State::lists "$work/apt/lists";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
CONF
export APT_CONFIG=$work/apt/apt.conf
apt-get update -qq --error-on=any >&2
apt-get install -qq -y --download-only mysql-server-core >&2
for package in "$work"/apt/cache/archives/*.deb; do dpkg-deb -x "$package" "$work/root"; done
unset APT_CONFIG
rm -rf "$work/apt"

# The server needs the C library it was built for, so it is started by that library's own loader.
cat >"$work/mysqld" <<'RUN'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/root
loader=$(find "$here/usr/lib" "$here/lib" "$here/lib64" "$here/usr/lib64" -name 'ld-linux-*' 2>/dev/null | head -n 1)
libraries=$(dirname "$(find "$here/usr/lib" "$here/lib" -name libc.so.6 2>/dev/null | head -n 1)")
exec "$loader" --library-path "$libraries:$here/usr/lib/mysql/private" "$here/usr/sbin/mysqld" "$@" \
  --lc-messages-dir="$here/usr/share/mysql" --character-sets-dir="$here/usr/share/mysql/charsets" --plugin-dir="$here/usr/lib/mysql/plugin" \
  --secure-file-priv=NULL
RUN
chmod 755 "$work/mysqld"
"$work/mysqld" --no-defaults --version >&2
rm -rf "$folder"
mv "$work" "$folder"
trap - EXIT
echo "$program"
