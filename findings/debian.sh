# shellcheck shell=bash
# Debian packages of a fixed version, unpacked in a temporary folder; sourced.

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Unpack packages named NAME=VERSION, and let their programs and libraries come first.
unpack() {
  mkdir -p "$folder/packages"
  (cd "$folder/packages" &&
    apt-get -qq -o APT::Sandbox::User=root download "$@" >&2) || {
    printf 'cannot run: apt has no %s\n' "$*" >&2
    exit 2
  }
  local package
  for package in "$folder"/packages/*.deb; do
    dpkg-deb -x "$package" "$folder/root"
  done
  export PATH="$folder/root/usr/sbin:$folder/root/usr/bin:$folder/root/sbin:$folder/root/bin:$PATH"
  export LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu"
  hash -r
}
