# base, mark and url are set in front of this; what follows it calls begin, run, copy and end.
set -u
log="$base/deploy.log"
now() { date +%s; }
begin() { step=$1; at=$(now); }
end() { echo "towpath:$step:Succeeded:$at:$(now):"; }
fail() {
  echo "towpath:$step:Failed:$at:$(now):$1"
  tail -n 15 "$log" 2>/dev/null | tail -c 1200
  exit "${2:-1}"
}
run() {
  file=$1 limit=$2 user=$3 code=0
  [ -f "$work/bundle/$file" ] || fail "$file is not in the artifact" 127
  chmod +x "$work/bundle/$file"
  set -- "$work/bundle/$file"
  [ -z "$user" ] || set -- sudo -u "$user" -- "$@"
  [ -z "$limit" ] || set -- timeout "$limit" "$@"
  (cd "$work/bundle" && exec "$@") >>"$log" 2>&1 </dev/null || code=$?
  [ "$code" != 124 ] || [ -z "$limit" ] || fail "$file exit 124: it took longer than $limit seconds" 124
  [ "$code" = 0 ] || fail "$file exit $code" "$code"
}
copy() {
  mkdir -p "$2" >>"$log" 2>&1 || fail "cannot make the directory $2"
  if [ -d "$work/bundle/$1" ]; then
    cp -R "$work/bundle/$1/." "$2/"
  else
    cp "$work/bundle/$1" "$2/"
  fi >>"$log" 2>&1 || fail "cannot copy $1 to $2"
}
begin DOWNLOAD_BUNDLE
mkdir -p "$base" && : >"$log" || fail "cannot write to $base"
if [ "$(cat "$base/deployed" 2>/dev/null)" = "$mark" ]; then
  echo "towpath:DEPLOY:Skipped:$at:$(now):This artifact is deployed here already."
  exit 0
fi
rm -f "$base/deployed"
work=$(mktemp -d) || fail "cannot make a temporary directory"
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" && mkdir "$work/bundle"
if command -v curl >/dev/null 2>&1; then
  curl -fsSL --retry 3 -o "$work/bundle.zip" "$url"
elif command -v wget >/dev/null 2>&1; then
  wget -q -O "$work/bundle.zip" "$url"
else
  python3 -c 'import sys, urllib.request; urllib.request.urlretrieve(sys.argv[1], sys.argv[2])' "$url" "$work/bundle.zip"
fi >>"$log" 2>&1 || fail "cannot download the artifact (curl, wget or python3 is needed)"
if command -v unzip >/dev/null 2>&1; then
  unzip -q -o "$work/bundle.zip" -d "$work/bundle"
else
  python3 -m zipfile -e "$work/bundle.zip" "$work/bundle"
fi >>"$log" 2>&1 || fail "cannot unpack the artifact (unzip or python3 is needed)"
chmod -R a+rX "$work/bundle"
end
