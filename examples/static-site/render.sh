#!/bin/sh
# Renders every pages/NAME.txt to public/NAME.html: the first line is the title, blank lines part paragraphs, a line
# that starts with "* " is an item of a list.
set -eu
from=$1
to=$2
mkdir -p "$to"

escape() {
    sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' "$1"
}

navigation() {
    for page in "$from"/*.txt; do
        name=$(basename "$page" .txt)
        printf '<a href="%s.html">%s</a>\n' "$name" "$(head -n 1 "$page")"
    done
}

for page in "$from"/*.txt; do
    name=$(basename "$page" .txt)
    title=$(head -n 1 "$page")
    {
        printf '<!doctype html>\n<meta charset="utf-8">\n<title>%s</title>\n' "$title"
        printf '<link rel="stylesheet" href="style.css">\n<nav>\n%s\n</nav>\n<h1>%s</h1>\n' "$(navigation)" "$title"
        escape "$page" | awk '
            NR == 1 { next }
            /^\* /  { if (!list) { if (open) print "</p>"; open = 0; print "<ul>"; list = 1 }
                      print "<li>" substr($0, 3) "</li>"; next }
            list    { print "</ul>"; list = 0 }
            /^$/    { if (open) print "</p>"; open = 0; next }
                    { if (!open) { printf "<p>"; open = 1 } print }
            END     { if (list) print "</ul>"; if (open) print "</p>" }'
    } > "$to/$name.html"
    echo "rendered $name.html"
done
cp style.css "$to/style.css"
